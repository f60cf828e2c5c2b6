"""Stepping aside: plain synchronous code in an event loop's thread that waits without holding the loop up.

The code runs in a greenlet. Where it must wait, for a disk or a socket, it switches back to the
loop, and is switched to again when the wait is over; it knows nothing of it. Two threads that
both hold Python in small bites hinder each other: each call that lets go of the interpreter waits
for it again, up to 5 ms behind a busy loop. 32 connections got 4,025 sign-ups/s with the verbs in
a thread of their own, and 5,300 to 7,200 so.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast

from greenlet import getcurrent, greenlet

T = TypeVar("T")


class _Wait(Protocol):
    """Something to wait for: sets the future when it is over, in the loop's thread."""

    def start(self, loop: asyncio.AbstractEventLoop, done: "asyncio.Future[Any]") -> None: ...


class _Work:
    """Work that blocks, done by a thread meanwhile."""

    __slots__ = ("_hands", "_work")

    def __init__(self, hands: "Hands", work: Callable[[], Any]) -> None:
        self._hands = hands
        self._work = work

    def start(self, loop: asyncio.AbstractEventLoop, done: "asyncio.Future[Any]") -> None:
        self._hands.do(loop, done, self._work)


class _Readable:
    """A file descriptor that will have something to read, or room to write."""

    __slots__ = ("_fd", "_write")

    def __init__(self, fd: int, *, write: bool) -> None:
        self._fd = fd
        self._write = write

    def start(self, loop: asyncio.AbstractEventLoop, done: "asyncio.Future[Any]") -> None:
        fd, write = self._fd, self._write

        def ready(what: str) -> None:
            loop.remove_reader(fd)
            if write:
                loop.remove_writer(fd)
            if not done.done():
                done.set_result(what)

        loop.add_reader(fd, ready, "read")
        if write:
            loop.add_writer(fd, ready, "write")


class _Stepper(greenlet):  # type: ignore[misc] # greenlet has no types
    """The greenlet of one piece of synchronous code."""

    hands: "Hands"


class Hands:
    """A thread for what blocks: a commit that waits for the disk, a lock that another process holds."""

    def __init__(self) -> None:
        self._asked: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def drive(self, code: Callable[[], None]) -> None:
        """Run synchronous code to its end; the loop goes on wherever it steps aside.

        Not cancelled half way: a cancelled caller gets its cancellation when the code has ended.
        """
        loop = asyncio.get_running_loop()
        stepper = _Stepper(code)
        stepper.hands = self
        cancelled: asyncio.CancelledError | None = None
        step = stepper.switch()
        while not stepper.dead:
            done: asyncio.Future[Any] = loop.create_future()
            try:
                cast(_Wait, step).start(loop, done)
            except BaseException as problem:  # noqa: BLE001 - handed to the code that waits
                step = stepper.throw(problem)
                continue
            while not done.done():
                try:
                    await asyncio.shield(done)
                except asyncio.CancelledError as problem:
                    cancelled = problem
                except BaseException:  # noqa: BLE001, S110 - read from the future below
                    pass
            problem_ = done.exception()
            step = stepper.switch(done.result()) if problem_ is None else stepper.throw(problem_)
        if cancelled is not None:
            raise cancelled

    def do(
        self, loop: asyncio.AbstractEventLoop, done: "asyncio.Future[Any]", work: Callable[[], Any]
    ) -> None:
        """Do the work in the thread and set the future in its loop."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="waits for the disk", daemon=True)
            self._thread.start()

        def task() -> None:
            result, problem = None, None
            try:
                result = work()
            except BaseException as raised:  # noqa: BLE001 - handed to who waits for it
                problem = raised
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(_settle, done, result, problem)

        self._asked.put(task)

    def close(self) -> None:
        """End the thread."""
        if self._thread is not None:
            self._asked.put(None)
            self._thread.join(timeout=30)
            self._thread = None

    def _serve(self) -> None:
        while (task := self._asked.get()) is not None:
            task()


def _settle(done: "asyncio.Future[Any]", result: Any, problem: BaseException | None) -> None:
    if problem is None:
        done.set_result(result)
    else:
        done.set_exception(problem)


def apart(work: Callable[[], T]) -> T:
    """Do work that blocks: in a thread while the loop goes on, or here where no loop drives us."""
    me = getcurrent()
    if not isinstance(me, _Stepper):
        return work()
    parent = me.parent
    assert parent is not None  # noqa: S101 (the loop's own greenlet)
    return cast(T, parent.switch(_Work(me.hands, work)))


def driven() -> bool:
    """Whether a loop drives this code, so that it may wait for a socket by `until_ready`."""
    return isinstance(getcurrent(), _Stepper)


def until_ready(fd: int, *, write: bool) -> str:
    """Wait until the descriptor can be read ("read") or, if `write`, written ("write")."""
    parent = getcurrent().parent
    assert parent is not None  # noqa: S101 (see `driven`)
    return cast(str, parent.switch(_Readable(fd, write=write)))
