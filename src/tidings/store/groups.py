"""Groups: the waiting verbs of a process, run in one transaction and committed once.

A `Problem` before a verb's first write leaves the group standing; anything else rolls it back and
its members run again: on SQLite together, now with a savepoint for each, so that a verb is undone
alone; on PostgreSQL, where a savepoint would cost two round trips a verb, one by one. Savepoints
from the start would copy every page that a verb touches.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tidings.errors import Problem, Unavailable
from tidings.store import waves
from tidings.store.aside import apart
from tidings.store.definitions import Definitions
from tidings.store.tx import Collected, Row, Session, Tx

# Deadlocks and lost connections are tried again so many times before a caller hears of it.
TRIES = 3


class FullSession(Session, Protocol):
    """What a group and a reader need of a connection."""

    savepoints: bool
    spares_reads: bool

    @property
    def closed(self) -> bool: ...

    def batch(self, asked: Sequence[waves.Asked]) -> None: ...
    def many(self, sql: str, columns: tuple[str, ...], rows: Any) -> None: ...
    def begin(self) -> None: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def save(self) -> None: ...
    def keep(self) -> None: ...
    def undo(self) -> None: ...
    def reading(self, question: Callable[[], Any]) -> Any: ...
    def notify(self) -> None: ...
    def version(self) -> str: ...
    def broken(self, problem: BaseException) -> Unavailable | None: ...
    def overtaken(self, problem: BaseException) -> bool: ...
    def close(self) -> None: ...


@dataclass(slots=True)
class Job:
    """One verb waiting for its group; `done` is called with it after the commit."""

    account_id: int
    verb: Callable[..., Any]
    args: tuple[Any, ...]
    options: dict[str, Any]
    key: str = ""
    result: Any = None
    error: BaseException | None = None
    loop: asyncio.AbstractEventLoop | None = None
    future: "asyncio.Future[Any] | None" = None


class _Again(Exception):
    """The group cannot stand as it is: run its members one by one."""


@dataclass(slots=True)
class _Sink:
    """What the group's verbs have collected, by statement."""

    rows: dict[Collected, list[Row]] = field(default_factory=dict)

    def take(self, collected: list[tuple[Collected, Row]]) -> None:
        for statement, row in collected:
            self.rows.setdefault(statement, []).append(row)

    def flush(self, session: FullSession) -> None:
        """Write the sets, each sorted, so that two processes lock in the same order."""
        for statement in sorted(self.rows, key=lambda one: one.sql):
            rows = self.rows[statement]
            if statement.merged:
                rows = _sums(rows)
            if rows:
                session.many(statement.sql, statement.columns, rows)


def _sums(rows: list[Row]) -> list[Row]:
    sums: dict[Row, int] = {}
    for row in rows:
        sums[row[:-1]] = sums.get(row[:-1], 0) + row[-1]
    return [(*key, n) for key, n in sorted(sums.items()) if n]


def _waves(jobs: list[Job], *, together: bool) -> Iterator[list[Job]]:
    """Cut sorted jobs into waves: verbs of different mailboxes together, any other alone."""
    later = [job for job in jobs if together and job.key]
    for job in jobs:
        if not (together and job.key):
            yield [job]
    while later:
        keys: set[tuple[int, str]] = set()
        wave: list[Job] = []
        rest: list[Job] = []
        for job in later:
            place = (job.account_id, job.key)
            (rest if place in keys else wave).append(job)
            keys.add(place)
        yield wave
        later = rest


class Writer:
    """The one writing connection of a process, and how groups are run on it.

    `known` are the readers' definitions: what a group redefines is forgotten there.
    """

    def __init__(
        self, opener: Callable[[], FullSession], known: Definitions, clock: Callable[[], int]
    ) -> None:
        self._open = opener
        self._known = known
        self._clock = clock
        self._written = Definitions(stale_ms=0, pepper=known.pepper)
        self._writer = opener()

    @property
    def spares_reads(self) -> bool:
        """Whether point reads are cheap enough for the event loop."""
        return self._writer.spares_reads

    def season(self, pepper: bytes) -> None:
        """Give verbs the master key."""
        self._written.pepper = pepper

    def version(self) -> str:
        """The database's name and version, for people."""
        return self._writer.version()

    def close(self) -> None:
        """Close the connection; nothing may be running."""
        self._writer.close()

    def run(self, jobs: list[Job]) -> None:
        """Run the jobs as one group; each holds its result or its error afterwards.

        One caller at a time: `db` sees to it.
        """
        if not self._writer.savepoints:
            jobs.sort(key=lambda job: (job.account_id, job.key))
        self._attempt_often(jobs)

    def _attempt_often(self, jobs: list[Job]) -> None:
        careful = False
        for attempt in range(TRIES):
            try:
                self._attempt(jobs, careful=careful)
                return
            except _Again as again:
                if self._writer.savepoints and not careful:
                    careful = True
                    continue
                if len(jobs) > 1:
                    self._one_by_one(jobs)
                    return
                jobs[0].error = again.__cause__ or again
                if not self._passing(jobs[0].error):
                    return
            if self._lost() and not self._reconnect(attempt):
                return

    def _one_by_one(self, jobs: list[Job]) -> None:
        for at, job in enumerate(jobs):
            self._attempt_often([job])
            if job.error is not None and self._lost():
                # The server cannot be reached: the others would each try as long in vain.
                for other in jobs[at + 1 :]:
                    other.error = job.error
                return

    def _attempt(self, jobs: list[Job], *, careful: bool) -> None:
        session = self._writer
        try:
            session.begin()
            self._work(session, jobs, careful=careful)
            session.commit()
        except BaseException as problem:
            self._written.settle()
            self._roll_back()
            if isinstance(problem, _Again):
                raise
            said = self._said(problem)
            if session.savepoints and said is not problem:
                for job in jobs:
                    job.error = said
                return
            raise _Again from said
        self._known.forget(self._written.settle())

    def _work(self, session: FullSession, jobs: list[Job], *, careful: bool) -> None:
        """Run the verbs and write what they collected: all of a group but its commit."""
        # The moment of having the turn: rows are then made in the order of their times.
        sink, wakes, now = _Sink(), False, self._clock()
        if len(jobs) > 1:
            self._written.check(session, {job.account_id for job in jobs}, now)
        for wave in _waves(jobs, together=not session.savepoints):
            wakes |= self._run_wave(session, sink, wave, now, careful=careful)
        sink.flush(session)
        if wakes:
            session.notify()

    def _run_wave(
        self, session: FullSession, sink: _Sink, wave: list[Job], now: int, *, careful: bool
    ) -> bool:
        """Run the verbs of a wave; return whether any wakes the engine."""
        if len(wave) == 1:
            return self._run_verb(session, sink, wave[0], now, careful=careful)
        woken = []
        together = waves.WaveSession(session)
        waves.run(
            session,
            [
                lambda job=job: woken.append(self._run_verb(session, sink, job, now, asks=together))  # type: ignore[misc]
                for job in wave
            ],
        )
        return any(woken)

    def _run_verb(
        self,
        session: FullSession,
        sink: _Sink,
        job: Job,
        now: int,
        *,
        asks: Session | None = None,
        careful: bool = False,
    ) -> bool:
        """Run one verb, if `careful` within a savepoint; return whether it wakes the engine."""
        tx = Tx(asks or session, self._written, job.account_id, now)
        if careful:
            session.save()
        try:
            job.error = None
            job.result = job.verb(tx, *job.args, **job.options)
        except Exception as problem:
            if session.broken(problem):
                raise
            if careful:
                session.undo()
            elif tx.wrote or not isinstance(problem, Problem):
                raise _Again from problem
            job.error = problem
            return False
        if careful:
            session.keep()
        sink.take(tx.collected)
        return tx.wakes

    def broken(self, problem: BaseException) -> Unavailable | None:
        """Return what a caller is told when the storage itself refuses, else None."""
        return self._writer.broken(problem)

    def _said(self, problem: BaseException) -> BaseException:
        return self.broken(problem) or problem

    def _passing(self, problem: BaseException | None) -> bool:
        """Whether the same verb may well succeed at once: a deadlock, a lost connection, a lost race."""
        if self._writer.savepoints or problem is None:
            return False
        return isinstance(problem, Unavailable) or self._writer.overtaken(problem)

    def _roll_back(self) -> None:
        try:
            self._writer.rollback()
        except Exception as problem:
            if not self._writer.broken(problem):
                raise

    def _lost(self) -> bool:
        return self._writer.closed

    def _reconnect(self, attempt: int) -> bool:
        try:
            self._writer = apart(lambda: self._opened_later(0.2 * attempt))
        except Exception as problem:
            if self._writer.broken(problem):
                return attempt < TRIES - 1
            raise
        return True

    def _opened_later(self, seconds: float) -> FullSession:
        time.sleep(seconds)
        return self._open()

    def abandon(self) -> None:
        """Drop the connection with whatever it was in the middle of, and open another."""
        self._written.settle()
        self._writer.close()
        self._writer = self._open()
