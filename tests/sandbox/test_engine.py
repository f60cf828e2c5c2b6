"""The engine of a sandbox is made of what the real one is made of."""

import ast
from pathlib import Path

from tidings.app import loops
from tidings.sandbox import engine

# What only an engine of its own process needs: how loops run, room on a disk, copies of a database, and files
# of people, which are worked on in a thread with a database of its own.
NOT_HERE = {"loop", "room", "backups", "uploads"}


def parts(file: str | None) -> set[str]:
    """The modules of `tidings.engine` that a file imports."""
    assert file is not None
    found: set[str] = set()
    for node in ast.walk(ast.parse(Path(file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "tidings.engine":
            found |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tidings.engine."):
            found.add((node.module or "").removeprefix("tidings.engine."))
    return found


def test_every_loop_of_the_real_engine_turns_in_a_sandbox_too() -> None:
    real = parts(loops.__file__) - NOT_HERE
    assert {"notifier", "rules", "scheduler", "sender", "steps", "teller"} <= real
    assert real - parts(engine.__file__) == set()
