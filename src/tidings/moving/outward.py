"""What is exported, as text: CSV that no spreadsheet runs and our import reads, or a JSON object a line."""

import csv
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date
from functools import lru_cache
from typing import Any, TextIO

import msgspec

from tidings.core import custom_fields, exporting
from tidings.core.counters import DAY_MS
from tidings.core.exporting import Exported, Wanted
from tidings.moving.names import all_names
from tidings.moving.people import guarded
from tidings.store.db import Database

_EPOCH = date(1970, 1, 1).toordinal()
COLUMNS = ("id", "email", "first_name", "state", "state_at", "created_at", "tags", "forms", "sequences")
KINDS = ("tag", "form", "sequence")
PAGED = ("broadcast", "purchase")


def as_csv(db: Database, account_id: int, wanted: Wanted, to: TextIO) -> int:
    """Write people as CSV, a slice in memory at a time; return how many."""
    fields = db.read_now(account_id, custom_fields.all_fields)
    keys = [str(field.id) for field in fields]
    names = _Cells(db, account_id)
    writer = csv.writer(to, lineterminator="\n")
    writer.writerow([*COLUMNS, *(f"fields.{field.key}" for field in fields)])
    written = 0
    for people in _slices(db, account_id, wanted):
        writer.writerows(
            [
                one.id, guarded(one.email), guarded(one.first_name or ""), one.state, when(one.state_at),
                when(one.created_at), names.cell("tag", one.tags), names.cell("form", one.forms),
                names.cell("sequence", one.sequences), *(guarded(one.fields.get(key, "")) for key in keys),
            ]
            for one in people
        )  # fmt: skip
        written += len(people)
    return written


def as_lines(db: Database, account_id: int, wanted: Wanted, to: TextIO, *, whole: bool) -> int:
    """Write a JSON object a line: people, and with `whole` all that the owner made; return how many."""
    written = 0
    encode = msgspec.json.Encoder().encode

    def put(kind: str, thing: Any) -> None:
        to.write(encode({"kind": kind, **thing}).decode() + "\n")

    if whole:
        for kind, thing in db.read_now(account_id, lambda rx: list(exporting.made(rx))):
            put(kind, _shown(thing))
            written += 1
        for kind in PAGED:
            number = 1
            while page := db.read_now(account_id, exporting.pages, kind, number):
                for thing in page:
                    put(kind, _shown(thing))
                written += len(page)
                number += 1
    fields = {str(field.id): field.key for field in db.read_now(account_id, custom_fields.all_fields)}
    names = _Cells(db, account_id)
    for people in _slices(db, account_id, wanted):
        for one in people:
            put("subscriber", {
                "id": one.id, "email": one.email, "first_name": one.first_name, "state": one.state,
                "state_at": when(one.state_at) or None, "created_at": when(one.created_at),
                "tags": names.names("tag", one.tags), "forms": names.names("form", one.forms),
                "sequences": names.names("sequence", one.sequences),
                "fields": {fields[key]: value for key, value in one.fields.items() if key in fields},
            })  # fmt: skip
        written += len(people)
    return written


def when(at: int | None) -> str:
    """Return a time in epoch ms as ISO 8601 text in UTC, to the millisecond; "" for None."""
    if at is None:
        return ""
    days, rest = divmod(at, DAY_MS)
    minutes, ms = divmod(rest, 60_000)
    return f"{_day(days)}T{minutes // 60:02d}:{minutes % 60:02d}:{ms // 1_000:02d}.{ms % 1_000:03d}Z"


@lru_cache(10_000)
def _day(days: int) -> str:
    """Return a day, counted from the epoch: made once, for strftime takes 2 us."""
    return date.fromordinal(days + _EPOCH).isoformat()


def _slices(db: Database, account_id: int, wanted: Wanted) -> Iterator[list[Exported]]:
    after_id = 0
    keep: Callable[[Exported], bool] | None = wanted.has if wanted != Wanted() else None
    while people := db.read_now(account_id, exporting.people, after_id):
        after_id = people[-1].id
        yield list(filter(keep, people)) if keep else people


def _shown(thing: msgspec.Struct) -> dict[str, Any]:
    """Return a thing with its times as text."""
    found: dict[str, Any] = msgspec.to_builtins(thing)
    return {key: when(value) if key.endswith("_at") and isinstance(value, int) else value
            for key, value in found.items()}  # fmt: skip


class _Cells:
    """What ids are called: by name, or as `#id` where the name would be read as something else."""

    def __init__(self, db: Database, account_id: int) -> None:
        self._names: dict[tuple[str, int], str] = {}
        self._cells: dict[tuple[str, tuple[int, ...]], str] = {}
        found = db.read_now(account_id, all_names)
        keys = [(kind, name.strip().casefold()) for kind, _, name in found]
        twice = {key for key, n in Counter(keys).items() if n > 1}
        for (kind, ref_id, name), key in zip(found, keys, strict=True):
            plain = key not in twice and not name.startswith(("#", "["))
            self._names[kind, ref_id] = name if plain else f"#{ref_id}"

    def names(self, kind: str, ids: tuple[int, ...]) -> list[str]:
        """Return the names of what there is."""
        return [self._names[kind, one] for one in ids if (kind, one) in self._names]

    def cell(self, kind: str, ids: tuple[int, ...]) -> str:
        """Return the names with commas between, in quotes where they hold commas or quotes."""
        if not ids:
            return ""
        text = self._cells.get((kind, ids))
        if text is None:
            if len(self._cells) > 10_000:
                self._cells.clear()
            text = self._cells[kind, ids] = guarded(_joined(self.names(kind, ids)))
        return text


def _joined(names: list[str]) -> str:
    quoted = [
        '"' + name.replace('"', '""') + '"' if any(sign in name for sign in ',"') else name for name in names
    ]
    return ", ".join(quoted)
