"""Waves: verbs of a group that ask PostgreSQL together, one round trip for all of them.

Each verb runs in a greenlet of its own. Where it asks the database it steps aside, until
every verb of its wave has asked or ended; then all statements go out in one pipeline. A
statement costs 30 us so, and 80 to 100 us where each waits for its own answer. The core
stays plain synchronous code and knows nothing of it.

Verbs of one wave never touch the same mailbox (their keys differ), so what one reads and
then writes no other changes between; what they share, they change in single statements.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from greenlet import getcurrent, greenlet

from tidings.store.tx import Row


class Batching(Protocol):
    """A connection that takes several statements at once."""

    def batch(self, asked: Sequence["Asked"]) -> None: ...

    def wrote(self, sql: str) -> bool: ...


@dataclass(slots=True)
class Asked:
    """One statement and, after the round trip, its rows and how many it changed."""

    sql: str
    params: dict[str, Any]
    rows: list[Row] | None = None
    changed: int = 0


class WaveSession:
    """What a verb of a wave holds for a connection: asking steps aside."""

    def __init__(self, session: Batching) -> None:
        self._session = session

    def fetch(self, sql: str, params: dict[str, Any]) -> list[Row]:
        return _step_aside(Asked(sql, params)).rows or []

    def change(self, sql: str, params: dict[str, Any]) -> int:
        return _step_aside(Asked(sql, params)).changed

    def wrote(self, sql: str) -> bool:
        return self._session.wrote(sql)

    def load(self, sql: str, columns: tuple[str, ...], rows: Sequence[Row]) -> None:  # noqa: ARG002
        """Never: who loads many rows is alone in a group."""
        raise AssertionError("rows are loaded by a verb that runs alone")

    def fresh_ids(self, table: str, n: int) -> Sequence[int]:  # noqa: ARG002
        """Never, as `load`."""
        raise AssertionError("ids are taken by a verb that runs alone")


def _step_aside(asked: Asked) -> Asked:
    parent = getcurrent().parent
    assert parent is not None  # noqa: S101 (only verbs of a wave hold a WaveSession)
    parent.switch(asked)
    return asked


def run(session: Batching, verbs: Sequence[Callable[[], None]]) -> None:
    """Run the verbs, each until it asks, send what they ask together, and so on to their ends.

    A verb must not let an exception out but one that ends the whole group.
    """
    running = [greenlet(verb) for verb in verbs]
    try:
        while running:
            asked, waiting = [], []
            for one in running:
                step = one.switch()
                if not one.dead:
                    asked.append(step)
                    waiting.append(one)
            if asked:
                session.batch(asked)
            running = waiting
    finally:
        # After a failure the others must not stay suspended in the middle of a verb.
        for one in running:
            if not one.dead:
                one.throw()
