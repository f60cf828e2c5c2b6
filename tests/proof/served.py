"""Runs one web process for the rigs, with a planted bug when asked: `served.py PORT [BUG]`.

A rig that has never been red proves nothing: the bug answers callers before the commit.
"""

import os
import sys

from tidings import app, settings
from tidings.store import db
from tidings.store.groups import Writer


def _answer_before_commit() -> None:
    """Plant the bug: run the group, answer everybody, and only then commit."""
    run = Writer.run

    def early(self: Writer, jobs: list) -> None:  # type: ignore[type-arg]
        session = self._writer
        commit = session.commit

        def answered_first() -> None:
            db.Database._answer(jobs, jobs[0].loop)
            commit()

        session.commit = answered_first  # type: ignore[method-assign]
        run(self, jobs)

    Writer.run = early  # type: ignore[method-assign]


if __name__ == "__main__":
    os.environ["TIDINGS_PORT"] = sys.argv[1]
    if "early" in sys.argv[2:]:
        _answer_before_commit()
    sys.exit(app.serve_web(settings.load()))
