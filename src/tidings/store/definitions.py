"""Definitions kept in memory: keys, forms, tags, fields, as long as they stand unchanged.

Owns the table `generations`: one number per account, raised by every verb that changes a
definition (account 0 stands for the whole installation). The writer compares it with each
group, in the group's own transaction; readers at most `STALE_MS` late.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

from tidings.store.tx import Row, Rx, Tx
from tidings.store.waves import Asked, Batching

# Readers ask for the generation once in this time: on PostgreSQL each asking is a round
# trip of about 100 us, as dear as the read itself.
STALE_MS = 1_000
# An account's definitions take some kilobytes; this many accounts bound the memory.
ACCOUNTS_KEPT = 2_000
ANSWERS_KEPT = 5_000
_GENERATION = "SELECT n FROM generations WHERE account_id = :account_id"


class _Slot:
    __slots__ = ("answers", "checked_at", "checked_in", "generation")

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.checked_at = self.checked_in = 0
        self.answers: dict[tuple[Callable[..., Any], Row], Any] = {}


class Definitions:
    """One per side: the writer's is exact, the readers' may be `stale_ms` late.

    `pepper` is the master key, for what is kept only as a keyed hash.
    """

    def __init__(self, *, stale_ms: int, pepper: bytes = b"") -> None:
        self.pepper = pepper
        self._slots: OrderedDict[int, _Slot] = OrderedDict()
        self._stale_ms = stale_ms
        # Groups settled: what an earlier one looked up is looked at again, even in the same ms.
        self._group = 0
        self.dirty: set[int] = set()

    def recall(self, rx: Rx, question: Callable[..., Any], args: Row) -> Any:
        """Return the question's answer, asked at most once per generation; None is not kept."""
        if rx.account_id in self.dirty:
            return question(rx, *args)
        slot = self._slot(rx)
        answer = slot.answers.get((question, args))
        if answer is None:
            answer = question(rx, *args)
            if answer is not None:
                if len(slot.answers) >= ANSWERS_KEPT:
                    slot.answers.clear()
                slot.answers[(question, args)] = answer
        return answer

    def peek(self, account_id: int, now: int, question: Callable[..., Any], args: Row) -> Any:
        """Return what is remembered and fresh enough, without asking the database; else None."""
        slot = self._slots.get(account_id)
        if slot is None or not 0 <= now - slot.checked_at <= self._stale_ms:
            return None
        return slot.answers.get((question, args))

    def redefine(self, tx: Tx) -> None:
        """Raise the account's generation; nothing of it is answered from memory until the commit."""
        tx.run(
            "INSERT INTO generations (account_id, n) VALUES (:account_id, 1)"
            " ON CONFLICT (account_id) DO UPDATE SET n = generations.n + 1",
            account_id=tx.account_id,
        )
        self.dirty.add(tx.account_id)
        self._slots.pop(tx.account_id, None)

    def forget(self, account_ids: set[int]) -> None:
        """Drop what is known of these accounts."""
        for account_id in account_ids:
            self._slots.pop(account_id, None)

    def settle(self) -> set[int]:
        """End a group: what it redefined may be remembered again. Returns those accounts."""
        self._group += 1
        changed, self.dirty = self.dirty, set()
        self.forget(changed)
        return changed

    def check(self, session: Batching, account_ids: Iterable[int], now: int) -> None:
        """Compare the generations of these accounts at once, before the verbs of a group ask for them."""
        asked = [Asked(_GENERATION, {"account_id": one}) for one in account_ids]
        session.batch(asked)
        for one in asked:
            self._checked(one.params["account_id"], one.rows, now)

    def _slot(self, rx: Rx) -> _Slot:
        slot = self._slots.get(rx.account_id)
        if (
            slot is not None
            and slot.checked_in == self._group
            and 0 <= rx.now - slot.checked_at <= self._stale_ms
        ):
            return slot
        return self._checked(rx.account_id, rx.all(_GENERATION, account_id=rx.account_id), rx.now)

    def _checked(self, account_id: int, rows: list[Row] | None, now: int) -> _Slot:
        generation = rows[0][0] if rows else 0
        slot = self._slots.get(account_id)
        if slot is None or slot.generation != generation:
            slot = self._slots[account_id] = _Slot(generation)
            while len(self._slots) > ACCOUNTS_KEPT:
                self._slots.popitem(last=False)
        slot.checked_at, slot.checked_in = now, self._group
        return slot
