"""How many questions a page asks of the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tidings.store.tx import Rx


@contextmanager
def counted() -> Iterator[list[str]]:
    """Note each question that is asked within."""
    asked: list[str] = []
    one, every = Rx.one, Rx.all

    def noted_one(self: Rx, sql: str, **params: Any) -> Any:
        asked.append(sql)
        return one(self, sql, **params)

    def noted_all(self: Rx, sql: str, **params: Any) -> Any:
        asked.append(sql)
        return every(self, sql, **params)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rx, "one", noted_one)
        patch.setattr(Rx, "all", noted_all)
        yield asked
