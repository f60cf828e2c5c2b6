"""What a verb and a question hold in their hands: `Tx` to write, `Rx` to read.

A transaction collects what nobody reads within the verb (events, counter changes, most
deliveries) and writes it in sets before the commit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

Row = tuple[Any, ...]
P = ParamSpec("P")
T = TypeVar("T")


class Session(Protocol):
    """One open connection, as `sqlite` and `postgres` drive it."""

    def fetch(self, sql: str, params: dict[str, Any]) -> list[Row]: ...

    def change(self, sql: str, params: dict[str, Any]) -> int: ...

    def wrote(self, sql: str) -> bool: ...

    def load(self, sql: str, columns: tuple[str, ...], rows: Sequence[Row]) -> None: ...

    def fresh_ids(self, table: str, n: int) -> Sequence[int]: ...


class Remembered(Protocol):
    """Definitions kept per process: see `definitions`."""

    pepper: bytes

    def recall(self, rx: "Rx", question: Callable[..., Any], args: Row) -> Any: ...

    def redefine(self, tx: "Tx") -> None: ...


# Compared by identity: hashing the text for each row of a group cost 2 us.
@dataclass(frozen=True, slots=True, eq=False)
class Collected:
    """A statement for rows that are written in sets before the commit.

    With `merged`, the last column is a number: rows that agree in all others become one
    with the sum, and sums of zero are not written.
    """

    sql: str
    columns: tuple[str, ...]
    merged: bool = False


class Rx:
    """One question's view of the database: one account, one moment (`now`, epoch ms)."""

    __slots__ = ("_remembered", "_session", "account_id", "now")

    def __init__(self, session: Session, remembered: Remembered, account_id: int, now: int) -> None:
        self._session = session
        self._remembered = remembered
        self.account_id = account_id
        self.now = now

    def one(self, sql: str, **params: Any) -> Row | None:
        """Return the first row, or None."""
        rows = self._session.fetch(sql, params)
        return rows[0] if rows else None

    def all(self, sql: str, **params: Any) -> list[Row]:
        """Return every row; the SQL must hold a LIMIT or be bounded by its nature."""
        return self._session.fetch(sql, params)

    def remember(self, question: Callable[Concatenate[Any, P], T], *args: P.args, **_: P.kwargs) -> T:
        """Answer a question about definitions from memory while they stand unchanged."""
        answer: T = self._remembered.recall(self, question, args)
        return answer

    @property
    def pepper(self) -> bytes:
        """The master key, for what is kept only as a keyed hash; empty where nobody gave one."""
        return self._remembered.pepper

    def for_account(self, account_id: int) -> "Rx":
        """The same moment for another account: only for what spans the installation."""
        return Rx(self._session, self._remembered, account_id, self.now)


class Tx(Rx):
    """One verb's view of its group's transaction."""

    __slots__ = ("_root", "collected", "wakes", "wrote")

    def __init__(self, session: Session, remembered: Remembered, account_id: int, now: int) -> None:
        super().__init__(session, remembered, account_id, now)
        self.collected: list[tuple[Collected, Row]] = []
        self.wakes = False
        self.wrote = False
        self._root = self

    def one(self, sql: str, **params: Any) -> Row | None:
        """Return the first row, or None; for SELECT and for `… RETURNING`."""
        if not self.wrote and self._session.wrote(sql):
            self.wrote = True
        rows = self._session.fetch(sql, params)
        return rows[0] if rows else None

    def all(self, sql: str, **params: Any) -> list[Row]:
        """Return every row; for SELECT and for `… RETURNING`."""
        if not self.wrote and self._session.wrote(sql):
            self.wrote = True
        return self._session.fetch(sql, params)

    def run(self, sql: str, **params: Any) -> int:
        """Run a statement that answers no rows; return how many rows it changed."""
        self.wrote = True
        return self._session.change(sql, params)

    def load(self, sql: str, columns: tuple[str, ...], rows: Sequence[Row]) -> None:
        """Insert many rows at once: `INSERT INTO t (a, b) VALUES (:a, :b)`, names as the columns.

        Only in a verb that runs without a key, which is alone in its wave.
        """
        self.wrote = True
        self._session.load(sql, columns, rows)

    def fresh_ids(self, table: str, n: int) -> Sequence[int]:
        """Return so many ids, rising, that no row of the table has or will be given."""
        return self._session.fresh_ids(table, n) if n else ()

    def append(self, statement: Collected, row: Row) -> None:
        """Collect a row to be written before the commit; nobody in this group sees it."""
        self.collected.append((statement, row))

    def redefine(self) -> None:
        """Say that this account's definitions (keys, forms, tags, fields …) have changed."""
        self.wrote = True
        self._remembered.redefine(self)

    def wake(self) -> None:
        """Have the engine look for work once this is committed."""
        self._root.wakes = True

    def for_account(self, account_id: int) -> "Tx":
        """The same transaction for another account; what it collects counts for both."""
        other = Tx(self._session, self._remembered, account_id, self.now)
        other.collected = self.collected
        other.wrote = self.wrote = True
        other._root = self._root
        return other
