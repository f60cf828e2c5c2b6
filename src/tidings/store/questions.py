"""Questions: how a process reads from PostgreSQL without a thread for each question.

The questions that wait go to the server together, as a wave (see `waves`): a statement costs
30 us so, where each alone waits 100 us for its answer. A question has no effect, so whatever goes
wrong with a wave, its members are asked again one by one.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from tidings.errors import Problem, Unavailable
from tidings.store import waves
from tidings.store.aside import Hands, apart
from tidings.store.definitions import Definitions
from tidings.store.groups import FullSession
from tidings.store.tx import Rx, Session

# Waves under way at once: while a slow page is read, others do not wait for it.
CONNECTIONS = 4
# A wave's questions share its fate and its slowest member.
WAVE_MAX = 24
WAITING_MAX = 10_000


@dataclass(slots=True)
class _Question:
    account_id: int
    ask: Callable[..., Any]
    args: Any
    options: Any
    future: "asyncio.Future[Any]"
    driver: "asyncio.Task[None] | None" = None
    answer: Any = None
    error: BaseException | None = None


class Reader:
    """Asks one question, on a connection that is opened anew when it was lost."""

    def __init__(
        self,
        opener: Callable[[], FullSession],
        drop: Callable[[FullSession], None],
        broken: Callable[[BaseException], Unavailable | None],
        known: Definitions,
        clock: Callable[[], int],
    ) -> None:
        self._open = opener
        self._drop = drop
        self._broken = broken
        self._known = known
        self._clock = clock

    def ask(self, account_id: int, question: Callable[..., Any], args: Any, options: Any) -> Any:
        """Return the answer; a question that met a lost connection is asked a second time."""
        session: FullSession | None = None
        for last in (False, True):
            try:
                session = self._open()
                rx = Rx(session, self._known, account_id, self._clock())
                return session.reading(partial(question, rx, *args, **options))
            except Problem:
                raise
            except Exception as problem:
                said = self._broken(problem)
                if said is None:
                    raise
                lost = session is not None and session.closed
                if session is not None:
                    self._drop(session)
                if last or not lost:
                    raise said from problem
        raise AssertionError("the second try has returned or raised")


class _Line:
    """The questions of one event loop."""

    __slots__ = ("out", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[_Question] = deque()
        self.out = 0


class Asking:
    """The questions that wait, and the connections that take them."""

    def __init__(
        self,
        opener: Callable[[], FullSession],
        broken: Callable[[BaseException], Unavailable | None],
        known: Definitions,
        clock: Callable[[], int],
        hands: Hands,
    ) -> None:
        self._open = opener
        self._broken = broken
        self._known = known
        self._clock = clock
        self._hands = hands
        self._lines: WeakKeyDictionary[asyncio.AbstractEventLoop, _Line] = WeakKeyDictionary()
        self._free: list[FullSession] = []

    async def ask(self, account_id: int, question: Callable[..., Any], args: Any, options: Any) -> Any:
        """Return the question's answer."""
        loop = asyncio.get_running_loop()
        line = self._lines.get(loop)
        if line is None:
            line = self._lines[loop] = _Line()
        if len(line.waiting) >= WAITING_MAX:
            raise Unavailable("too many questions are waiting; try again shortly")
        one = _Question(account_id, question, args, options, loop.create_future())
        line.waiting.append(one)
        if line.out < CONNECTIONS:
            line.out += 1
            one.driver = loop.create_task(self._drive(line))
        return await one.future

    async def _drive(self, line: _Line) -> None:
        """Ask wave after wave until nothing waits."""
        try:
            while line.waiting:
                wave = [line.waiting.popleft() for _ in range(min(WAVE_MAX, len(line.waiting)))]
                try:
                    await self._hands.drive(partial(self._answer, wave))
                finally:
                    for one in wave:
                        _resolve(one)
        finally:
            line.out -= 1

    def _answer(self, wave: list[_Question]) -> None:
        if len(wave) > 1 and self._answered_together(wave):
            return
        session: list[FullSession] = []
        reader = Reader(
            partial(self._taken, session), self._drop(session), self._broken, self._known, self._clock
        )
        for one in wave:
            one.error = None
            try:
                one.answer = reader.ask(one.account_id, one.ask, one.args, one.options)
            except Exception as problem:  # noqa: BLE001 - its caller is told
                one.error = problem
        self._free += session

    def _answered_together(self, wave: list[_Question]) -> bool:
        """Ask all in waves; False when that failed, for whatever reason."""
        session: list[FullSession] = []
        try:
            together = waves.WaveSession(self._taken(session))
            waves.run(session[0], [partial(self._ask_one, together, one) for one in wave])
        except Exception as problem:  # noqa: BLE001 - asked again one by one, which tells
            if session and not session[0].closed and session[0].broken(problem) is None:
                self._free += session
            elif session:
                session[0].close()
            return False
        self._free += session
        return True

    def _ask_one(self, together: Session, one: _Question) -> None:
        rx = Rx(together, self._known, one.account_id, self._clock())
        try:
            one.answer = one.ask(rx, *one.args, **one.options)
        except Problem as problem:
            one.error = problem

    def _taken(self, session: list[FullSession]) -> FullSession:
        """Return the connection in hand, a free one, or a new one."""
        if not session:
            session.append(self._free.pop() if self._free else apart(self._open))
        return session[0]

    @staticmethod
    def _drop(session: list[FullSession]) -> Callable[[FullSession], None]:
        def drop(one: FullSession) -> None:
            session.remove(one)
            one.close()

        return drop

    def close(self) -> None:
        """Close the connections; nobody may be asking."""
        while self._free:
            self._free.pop().close()


def _resolve(one: _Question) -> None:
    if one.future.done():
        return
    if one.error is not None:
        one.future.set_exception(one.error)
    else:
        one.future.set_result(one.answer)
