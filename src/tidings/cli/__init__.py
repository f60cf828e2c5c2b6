"""The command line: `tidings COMMAND`. Exits 0 only on success, 2 when it was typed wrongly."""

import os
import sys

from tidings.cli import grammar
from tidings.cli.ground import Said, plain
from tidings.errors import Problem
from tidings.settings import Bad
from tidings.store import health
from tidings.store.migrate import Behind, Newer

INTERRUPTED = 130


def main(argv: list[str] | None = None) -> int:
    """Run one command; return its exit code.

    What a person did wrong, and what the world refuses, is said in one line on stderr. A
    mistake of ours ends with its traceback.
    """
    try:
        args = grammar.parser().parse_args(argv)
    except SystemExit as end:
        return int(end.code or 0)
    try:
        code: int = args.command(args)
    except (Problem, Bad, Said, Behind, Newer, health.CannotOpen) as problem:
        return _refuse(str(problem) or type(problem).__name__)
    except BrokenPipeError:
        # Whoever read us has stopped; nothing more may be written, at the end neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as problem:
        where = f"{problem.filename}: " if problem.filename else ""
        return _refuse(f"{where}{problem.strerror or problem}")
    except Exception as problem:
        sentence = health.said(problem)
        if sentence is None:
            raise
        return _refuse(sentence)
    return code


def _refuse(sentence: str) -> int:
    print(f"tidings: {plain(' '.join(sentence.split()))}", file=sys.stderr)
    return 1
