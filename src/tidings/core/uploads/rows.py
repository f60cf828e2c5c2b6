"""What an upload looks like to its owner, and what is known of its file."""

import msgspec

from tidings.core.importing import Tally, Wishes
from tidings.store.tx import Row

COLUMNS = (
    "account_id, id, name, state, chunks, bytes, wishes, seen, counted, said, import_id, done, size,"
    " state_at, worker, leased_until_at, refused, consent, consent_by, consented_at, created_at, updated_at,"
    " dropped_at, forgotten_at"
)


class Unfit(Exception):
    """The file cannot be imported; the text is for a person."""


class Column(msgspec.Struct, frozen=True):
    """One column of a file: its name there, and what it is taken for unless somebody says otherwise.

    `meaning` is a role, `field:Label` or "" for nothing.
    """

    name: str
    meaning: str


class Sample(msgspec.Struct, frozen=True):
    """One record as it stands in the file, and as it would be imported; `refused` is why it would not."""

    line: int
    cells: list[str]
    email: str = ""
    first_name: str = ""
    state: str = ""
    things: list[str] = []
    fields: dict[str, str] = {}
    refused: str = ""


class Seen(msgspec.Struct, frozen=True):
    """How a file was understood: whose export it is ("" for a plain table), its columns and first records.

    `wrong` is what keeps it from being imported as it is mapped.
    """

    format: str
    encoding: str
    separator: str
    columns: list[Column]
    samples: list[Sample]
    wrong: str = ""


class Refusal(msgspec.Struct, frozen=True, array_like=True):
    """A record that was refused; the cells are made harmless for spreadsheets already."""

    record: int
    line: int
    reason: str
    cells: list[str]


class Counted(msgspec.Struct, frozen=True):
    """What an import would do. `reasons` are those of refused records with how many each, most first.

    `unknown` are forms and sequences that nobody can join for they are not there; `tags` and `fields`
    would be made, `left_out` are columns whose field is missing and would not be.
    """

    tally: Tally
    reasons: list[tuple[str, int]]
    refusals: list[Refusal]
    unknown: list[tuple[str, str]]
    tags: list[str]
    fields: list[str]
    left_out: list[str]


class Upload(msgspec.Struct, frozen=True):
    """One file and how far it is: `done` of `size` bytes in its present state, which it has since `state_at`.

    `refused` counts the refused records that can still be had; `dropped_at` is when the file was deleted.
    """

    account_id: int
    id: int
    name: str
    state: str
    chunks: int
    bytes: int
    wishes: Wishes
    seen: Seen | None
    counted: Counted | None
    said: str | None
    import_id: int | None
    done: int
    size: int
    state_at: int
    worker: str | None
    leased_until_at: int
    refused: int
    consent: str | None
    consent_by: str | None
    consented_at: int | None
    created_at: int
    updated_at: int
    dropped_at: int | None
    forgotten_at: int | None

    @property
    def working(self) -> bool:
        """Whether the engine has something to do with it before its owner has."""
        return self.state in ("arrived", "counting", "importing")

    def left_s(self, now: int) -> int | None:
        """Return the seconds left in its present state, as the speed has been; None where unknown."""
        took = now - self.state_at
        if not self.working or not self.size or not 0 < self.done <= self.size or took < 1_000:
            return None
        return round(took * (self.size - self.done) / self.done / 1_000)


_wishes = msgspec.json.Decoder(Wishes)
_seen = msgspec.json.Decoder(Seen)
_counted = msgspec.json.Decoder(Counted)


def upload(row: Row) -> Upload:
    """Return an upload of its `COLUMNS`."""
    cells = list(row)
    cells[6] = _wishes.decode(row[6])
    cells[7] = _seen.decode(row[7]) if row[7] else None
    cells[8] = _counted.decode(row[8]) if row[8] else None
    return Upload(*cells)
