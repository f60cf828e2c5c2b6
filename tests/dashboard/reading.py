"""Which fields a page reads: noted while it answers, so that a new field is fuzzed without being listed."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Final

import pytest

from tests.dashboard.asking import Asking, Who
from tidings.web.dashboard.asked import Asked
from tidings.web.dashboard.given import Given

ROUNDS: Final = 6
# Words that most fields of such a name take.
_LIKELY: Final = (
    ("email", "new@example.com"), ("url", "https://example.com/"), ("zone", "Europe/Zurich"),
    ("password", "a long and plain password"), ("hour", "9"), ("day", "1"), ("date", "2027-01-01"),
    ("time", "10:00"), ("at", "2027-01-01T10:00"),
)  # fmt: skip


class _Noting(dict[str, object]):
    """Values that note which names are asked for."""

    noted: ClassVar[dict[str, str]] = {}

    def get(self, name: str, default: Any = None) -> Any:
        self.noted.setdefault(name, "")
        return super().get(name, default)

    def __getitem__(self, name: str) -> object:
        self.noted.setdefault(name, "")
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        self.noted.setdefault(str(name), "")
        return super().__contains__(name)


@contextmanager
def noting() -> Iterator[tuple[dict[str, str], set[str]]]:
    """Note the fields of forms, each with a value that it would take, and the parameters of addresses."""
    fields: dict[str, str] = {}
    asked: set[str] = set()
    was = {name: getattr(Given, name) for name in ("__init__", "choice", "number", "ids")}
    asks = {name: getattr(Asked, name) for name in ("asks", "asks_id")}

    def begin(self: Given, values: Mapping[str, object] | None = None) -> None:
        was["__init__"](self, values)
        self.values = type("Noting", (_Noting,), {"noted": fields})(self.values)

    def choice(self: Given, name: str, options: Collection[str], default: str = "") -> Any:
        fields[name] = fields.get(name) or next(iter(options), "")
        return was["choice"](self, name, options, default)

    def number(self: Given, name: str, label: str = "", *, least: int = 0, most: int = 10**9) -> Any:
        fields[name] = fields.get(name) or str(least)
        return was["number"](self, name, label, least=least, most=most)

    def asks_text(self: Asked, name: str, default: str = "") -> Any:
        asked.add(name)
        return asks["asks"](self, name, default)

    def asks_id(self: Asked, name: str) -> Any:
        asked.add(name)
        return asks["asks_id"](self, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Given, "__init__", begin)
        patch.setattr(Given, "choice", choice)
        patch.setattr(Given, "number", number)
        patch.setattr(Asked, "asks", asks_text)
        patch.setattr(Asked, "asks_id", asks_id)
        yield fields, asked


def fields_of(asking: Asking, path: str, who: Who) -> dict[str, str]:
    """Post forms until no new field is asked for; return the fields with values they may take."""
    with noting() as (fields, _):
        for _ in range(ROUNDS):
            fields.pop("seal", None)
            known = dict(fields)
            asking.post(path, who, {name: value or likely(name) for name, value in fields.items()})
            if fields.keys() - {"seal"} == known.keys():
                break
    fields.pop("seal", None)
    return {name: value or likely(name) for name, value in fields.items()}


def parameters_of(asking: Asking, path: str, who: Who) -> set[str]:
    """Return the parameters that a page reads from its address."""
    with noting() as (_, asked):
        asking.ask("GET", path, who)
    return asked | {"page"}


def likely(name: str) -> str:
    """Return a value that a field of such a name may take."""
    return next((value for part, value in _LIKELY if part in name.split("_") or part == name), "words")
