"""The database for its callers: `await db.write(account, verb, …)`, `await db.read(…)`.

The waiting verbs of a process run in one transaction, in the event loop's own thread, which
commits once, durably, and then answers all callers (group commit; see `groups`). While the disk
or PostgreSQL works the loop goes on with other things (see `aside`). A verb that raises rolls
back alone and loses what it collected.
"""

import asyncio
import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from tidings.errors import Unavailable
from tidings.store import postgres, sqlite
from tidings.store.aside import Hands
from tidings.store.definitions import STALE_MS, Definitions
from tidings.store.groups import FullSession, Job, Writer
from tidings.store.questions import Asking, Reader
from tidings.store.tx import Rx, Tx

P = ParamSpec("P")
T = TypeVar("T")

# A group is whatever waits when the one before has ended, at most so many verbs: 64 of
# about 60 us hold SQLite's write lock, and the event loop, for some 4 ms.
GROUP_MAX = 64
# More waiting verbs than this means that the disk does not keep up: better to say so.
WAITING_MAX = 10_000
READ_THREADS = 4


def wall_clock() -> int:
    """Milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


class Ear(Protocol):
    """Tells whether other processes (or this one) have committed something."""

    poll_seconds: float

    def heard(self) -> bool: ...
    def close(self) -> None: ...


class Tally:
    """What the writer of a process has done since its start."""

    __slots__ = ("groups", "seconds", "verbs")

    def __init__(self) -> None:
        self.groups = self.verbs = 0
        self.seconds = 0.0


class Database:
    """One database, whichever it is. Open it, and close it when done.

    `pepper` is the master key: what is kept only as a keyed hash is asked for with it.
    """

    def __init__(self, url: str, *, clock: Callable[[], int] = wall_clock, pepper: bytes = b"") -> None:
        self.url = url
        self.clock = clock
        self._sqlite_path = url.removeprefix("sqlite:///") if url.startswith("sqlite:///") else ""
        if not self._sqlite_path and not url.startswith(("postgresql://", "postgres://")):
            raise ValueError("the database must be sqlite:///FILE or postgresql://…")
        self._turnstile: sqlite.Turnstile | None = None
        if self._sqlite_path:
            sqlite.prepare(self._sqlite_path)
            self._turnstile = sqlite.Turnstile(self._sqlite_path)
        self.tally = Tally()
        self._known = Definitions(stale_ms=STALE_MS, pepper=pepper)
        self._writer = Writer(lambda: self.session(writer=True), self._known, self._now)
        self._reader: FullSession | None = None
        self._readers = threading.local()
        self._opened: list[FullSession] = []
        self._pool = ThreadPoolExecutor(READ_THREADS, thread_name_prefix="reader")
        self._hands = Hands()
        self._asking = Asking(
            lambda: self.session(writer=False), self._writer.broken, self._known, self._now, self._hands
        )
        self._waiting: deque[Job] = deque()
        # Who writes has the turn: one group or one command at a time.
        self._turn = threading.Condition()
        self._busy = False
        self._driver: asyncio.AbstractEventLoop | None = None
        self._closed = False

    # -- writing ------------------------------------------------------------------

    async def write(
        self,
        account_id: int,
        verb: Callable[Concatenate[Tx, P], T],
        *args: P.args,
        **options: P.kwargs,
    ) -> T:
        """Run the verb in the next group; return its result after the durable commit."""
        return await self.write_sorted("", account_id, verb, *args, **options)

    async def write_sorted(
        self,
        key: str,
        account_id: int,
        verb: Callable[Concatenate[Tx, P], T],
        *args: P.args,
        **options: P.kwargs,
    ) -> T:
        """As `write`, for a verb that locks the rows of one mailbox, named by `key`.

        Groups are sorted by it, so that two processes on PostgreSQL never lock the same
        people in two orders.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        job = Job(account_id, verb, args, options, key, loop=loop, future=future)
        if self._closed:
            raise Unavailable("the database is closed")
        if len(self._waiting) >= WAITING_MAX:
            raise Unavailable("too many writes are waiting; try again shortly")
        self._waiting.append(job)
        if not self._busy:
            self._begin(loop)
        return await future

    def write_now(
        self, account_id: int, verb: Callable[Concatenate[Tx, P], T], *args: P.args, **options: P.kwargs
    ) -> T:
        """Run one verb in this thread and commit it: for commands and tests."""
        job = Job(account_id, verb, args, options)
        self._take_turn()
        try:
            self._run([job])
        finally:
            self._end_turn()
        if job.error is not None:
            raise job.error
        result: T = job.result
        return result

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have this loop run what waits, unless somebody has the turn: they will see to it."""
        with self._turn:
            if self._busy or not self._waiting:
                return
            self._busy, self._driver = True, loop
        self._task = loop.create_task(self._drive(loop))

    async def _drive(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run group after group until nothing waits."""
        while True:
            jobs = self._next_group()
            if jobs:
                with contextlib.suppress(asyncio.CancelledError):  # the group has ended whole
                    await self._hands.drive(partial(self._run, jobs))
                self._answer(jobs, loop)
                # The answers go out before the next group holds the loop.
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(0)
                continue
            with self._turn:
                if not self._waiting:
                    self._busy, self._driver = False, None
                    self._turn.notify_all()
                    return

    def _next_group(self) -> list[Job]:
        """Take what waits, at most `GROUP_MAX`."""
        waiting = self._waiting
        return [waiting.popleft() for _ in range(min(GROUP_MAX, len(waiting)))]

    def _run(self, jobs: list[Job]) -> None:
        began = time.perf_counter()
        try:
            self._writer.run(jobs)
        except Exception as problem:  # noqa: BLE001 - the top of the loop: callers are told
            for each in jobs:
                each.error = each.error or problem
        tally = self.tally
        tally.groups += 1
        tally.verbs += len(jobs)
        tally.seconds += time.perf_counter() - began

    def _take_turn(self) -> None:
        """Wait until nobody writes, in a thread that may wait."""
        with self._turn:
            while self._busy:
                driver = self._driver
                if driver is not None and driver.is_closed():
                    # Its loop ended in the middle of a group, and with it all who wait for it.
                    self._writer.abandon()
                    break
                with contextlib.suppress(RuntimeError):
                    if asyncio.get_running_loop() is driver:
                        raise AssertionError("a loop that writes cannot wait for itself: await `write`")
                self._turn.wait(0.05)
            self._busy, self._driver = True, None

    def _end_turn(self) -> None:
        """Let the next one write; what waits is begun in its own loop, or here if that is gone."""
        while True:
            with self._turn:
                self._busy = False
                self._turn.notify_all()
                loop = self._waiting[0].loop if self._waiting else None
                if loop is None:
                    return
                with contextlib.suppress(RuntimeError):  # closed
                    loop.call_soon_threadsafe(self._begin, loop)
                    return
                self._busy = True
            self._run(self._next_group())

    @staticmethod
    def _answer(jobs: list[Job], here: asyncio.AbstractEventLoop | None) -> None:
        """Answer all callers; those of another loop in that loop."""
        others: dict[asyncio.AbstractEventLoop, list[Job]] = {}
        for job in jobs:
            if job.loop is here:
                _resolve(job)
            elif job.loop is not None:
                others.setdefault(job.loop, []).append(job)
        for loop, theirs in others.items():
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(_resolve, *theirs)

    # -- reading ------------------------------------------------------------------

    async def read(
        self, account_id: int, question: Callable[Concatenate[Rx, P], T], *args: P.args, **options: P.kwargs
    ) -> T:
        """Answer a question about a few rows: at once on SQLite (5 us a query), in waves on PostgreSQL."""
        if self._writer.spares_reads:
            return self.read_now(account_id, question, *args, **options)
        answer: T = await self._asking.ask(account_id, question, args, options)
        return answer

    async def scan(
        self, account_id: int, question: Callable[Concatenate[Rx, P], T], *args: P.args, **options: P.kwargs
    ) -> T:
        """Answer a question that reads many rows: always in a thread of its own."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._pool, lambda: self._ask(self._thread_session, account_id, question, args, options)
        )

    def peek(
        self, account_id: int, question: Callable[Concatenate[Rx, P], T], *args: P.args, **_: P.kwargs
    ) -> T | None:
        """Return the answer to a question about definitions if it is in memory and fresh."""
        answer: T | None = self._known.peek(account_id, self.clock(), question, args)
        return answer

    def read_now(
        self, account_id: int, question: Callable[Concatenate[Rx, P], T], *args: P.args, **options: P.kwargs
    ) -> T:
        """Answer a question in this thread: for commands and tests."""
        answer: T = self._ask(self._reading_session, account_id, question, args, options)
        return answer

    def _ask(
        self,
        opener: Callable[[], FullSession],
        account_id: int,
        question: Callable[..., Any],
        args: Any,
        options: Any,
    ) -> Any:
        """Ask; a question has no effect, so a lost connection is opened anew and it is asked again."""
        reader = Reader(opener, self._drop, self._writer.broken, self._known, self._now)
        return reader.ask(account_id, question, args, options)

    def _drop(self, session: FullSession) -> None:
        """Open a new connection next time: this one may be gone."""
        if session is self._reader:
            self._reader = None
        else:
            self._readers.session = None
            self._opened.remove(session)
        session.close()

    def _reading_session(self) -> FullSession:
        if self._reader is None:
            self._reader = self.session(writer=False)
        return self._reader

    def _thread_session(self) -> FullSession:
        session: FullSession | None = getattr(self._readers, "session", None)
        if session is None:
            session = self._readers.session = self.session(writer=False)
            self._opened.append(session)
        return session

    # -- the rest -----------------------------------------------------------------

    def session(self, *, writer: bool) -> Any:
        """Open one more connection; its owner closes it."""
        if self._sqlite_path:
            return sqlite.SqliteSession(
                self._sqlite_path, writer=writer, turnstile=self._turnstile if writer else None
            )
        return postgres.PostgresSession(self.url, writer=writer)

    def refresh_statistics(self) -> int:
        """Have the planner learn tables that have grown by half; returns how many. Blocks: from a thread.

        PostgreSQL does so by itself within minutes; until then it may read all deliveries of an account
        for a click: 281 clicks/s at 60,000 deliveries, and 1,362 after it.
        """
        session = self.session(writer=True)
        try:
            done: int = session.refresh_statistics()
        finally:
            session.close()
        return done

    def scrub(self, tables: Sequence[str]) -> bool:
        """Have what was deleted leave the storage of these tables; False when it must be tried again.

        SQLite: the write-ahead log is emptied into the file, whose deleted parts our writers overwrite.
        PostgreSQL: the dead rows and what the planner has noted of them go. Blocks: from a thread.
        """
        session = self.session(writer=True)
        try:
            done: bool = session.scrub(tables)
        finally:
            session.close()
        return done

    def ear(self) -> Ear:
        """Return what tells the engine that something was committed."""
        ear: Ear = self.session(writer=False).listen()
        return ear

    def version(self) -> str:
        """The database's name and version, for people."""
        return self._writer.version()

    @property
    def pepper(self) -> bytes:
        """The master key; empty until it is given."""
        return self._known.pepper

    @pepper.setter
    def pepper(self, key: bytes) -> None:
        self._known.pepper = key
        self._writer.season(key)

    @property
    def folder(self) -> str:
        """Where the database file lies, for what is kept beside it; '.' for PostgreSQL."""
        return os.path.dirname(os.path.abspath(self._sqlite_path)) if self._sqlite_path else "."

    @property
    def shared(self) -> bool:
        """Whether several web processes may serve from this database."""
        return not self._sqlite_path

    def _now(self) -> int:
        # Asked anew each time: a test may set another clock.
        return self.clock()

    def close(self) -> None:
        """Finish what waits, then close every connection; a second time changes nothing."""
        if self._closed:
            return
        self._closed = True
        self._take_turn()
        while jobs := self._next_group():
            self._run(jobs)
            self._answer(jobs, None)
        self._hands.close()
        self._pool.shutdown(wait=True)
        for session in [*self._opened, self._reader]:
            if session is not None:
                session.close()
        self._asking.close()
        self._writer.close()
        if self._turnstile:
            self._turnstile.close()


def _resolve(*jobs: Job) -> None:
    for job in jobs:
        future = job.future
        if future is None or future.done():
            continue
        if job.error is not None:
            future.set_exception(job.error)
        else:
            future.set_result(job.result)
