"""An uploaded file, for the engine that works on it: looked through, counted, brought in.

What is wrong with it is raised as `Unfit`, whose text is for the person at the page.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import msgspec

from tidings.core import custom_fields
from tidings.core.importing import Import, Incoming, Tally, Wishes
from tidings.core.uploads import Column, Counted, Refusal, Sample, Seen, Unfit
from tidings.errors import Invalid
from tidings.moving import course, formats, names, source, stream
from tidings.moving.course import Opened
from tidings.moving.formats import AS_FIELD, FIELD, Columns, Wrong
from tidings.moving.people import Reader, Refused, guarded
from tidings.moving.refusals import SUPPRESSED
from tidings.moving.source import Unreadable
from tidings.moving.stream import Rejected
from tidings.store.db import Database

# Ten times what may be sent: text packs 3 to 20 times. 20 s are spent on looking through so much.
UNPACKED_MAX = 2_000_000_000
# A page shows every column with its own choice. ConvertKit allows 140 fields.
COLUMNS_MAX = 250
SAMPLES = 10
# Of a cell and a label that are shown.
SHOWN_MAX = 120
# Different reasons that are told apart, and what is shown of them and of refused records.
REASONS_MAX = 200
REASONS_SHOWN = 20
REFUSALS_SHOWN = 20
NAMES_SHOWN = 50
_NO_ADDRESS = "Say which column holds the email address."
_COMMAND = "; use --"

# Bytes done, bytes in all.
Shown = Callable[[int, int], None]
Keep = Callable[[Sequence[Refusal]], None]


def look(db: Database, account_id: int, path: str, wishes: Wishes) -> tuple[Seen, int]:
    """Return how a file is understood, and its size unpacked; fields that are missing are shown as made."""
    wishes = msgspec.structs.replace(wishes, create_fields=True)
    with _said():
        file = _opened(path, wishes)
        return _seen(db, account_id, file, wishes), file.source.size


def count(
    db: Database, account_id: int, path: str, wishes: Wishes, shown: Shown
) -> tuple[Seen, Counted | None]:
    """Return how a file is understood now, and what an import of it would do; None where it cannot be."""
    reasons: Counter[str] = Counter()
    examples: list[Refusal] = []

    def refuse(rejected: Sequence[Rejected], held: Sequence[Incoming]) -> None:
        for one in refusals(rejected, held):
            told = one.reason if one.reason in reasons or len(reasons) < REASONS_MAX else "other reasons"
            reasons[told] += 1
            if len(examples) < REFUSALS_SHOWN:
                examples.append(one)

    with _said():
        file = _opened(path, wishes)
        seen = _seen(db, account_id, file, wishes)
        if seen.wrong:
            return seen, None
        tried = course.trial(db, account_id, file, wishes, _bare(shown), refuse)
        missing = [label for label in names.missing_fields(db, account_id, file.columns) if label]
        counted = Counted(
            tried.tally,
            reasons.most_common(REASONS_SHOWN),
            examples,
            sorted(tried.unknown)[:NAMES_SHOWN],
            sorted(name for _, name in tried.missing)[:NAMES_SHOWN],
            missing[:NAMES_SHOWN] if wishes.create_fields else [],
            [] if wishes.create_fields else missing[:NAMES_SHOWN],
        )
        return seen, counted


def bring(
    db: Database,
    account_id: int,
    path: str,
    wishes: Wishes,
    begin: Callable[[str], Import],
    shown: Shown,
    keep: Keep,
) -> None:
    """Bring a file in, or go on with it. `begin` is called with its digest, `keep` with what is refused."""
    with _said():
        file = course.opened(path, wishes, most=UNPACKED_MAX)
        begin(file.source.digest)

        def refuse(rejected: Sequence[Rejected], held: Sequence[Incoming]) -> None:
            if rejected or held:
                keep(refusals(rejected, held))

        course.run(db, account_id, file, wishes, _bare(shown), refuse)


def refusals(rejected: Sequence[Rejected], held: Sequence[Incoming]) -> list[Refusal]:
    """Return what a slice refused and whom it must not bring in, in the order of the file."""
    found = [
        Refusal(
            one.record, one.line, one.reason.partition(_COMMAND)[0], [guarded(cell) for cell in one.cells]
        )
        for one in rejected
    ]
    found += [Refusal(one.record, one.line, SUPPRESSED, [guarded(one.email)]) for one in held]
    found.sort(key=lambda one: one.record)
    return found


@contextlib.contextmanager
def _said() -> Iterator[None]:
    try:
        yield
    except (Unreadable, Wrong, Invalid) as problem:
        text = str(problem)
        raise Unfit(text[:1].upper() + text[1:] + ".") from problem


def _opened(path: str, wishes: Wishes) -> Opened:
    """Return a file as its columns are mapped, with an address among them or not."""
    found = source.look(path, most=UNPACKED_MAX)
    separator, header = course.head(found)
    if len(header) > COLUMNS_MAX:
        raise Unreadable(
            f"the file has {len(header):,} columns; a page takes {COLUMNS_MAX}, the command line 1,000"
        )
    columns = formats.understood(header, wishes.mapped, Path(path).name)
    return Opened(found, separator, header, columns)


def _seen(db: Database, account_id: int, file: Opened, wishes: Wishes) -> Seen:
    """Return how a file is understood, with its first records."""
    wrong = "" if "email" in file.columns.roles else _NO_ADDRESS
    reader = None if wrong else _reader(db, account_id, file.columns, wishes)
    records = islice(stream.Records(file.source, file.separator), SAMPLES + 1)
    samples = [
        _sample(reader, cells, number, line, wishes)
        for number, (cells, line) in enumerate(records)
        if number and cells
    ]
    columns = [
        Column(label.strip()[:SHOWN_MAX], _meaning(role, said))
        for label, role, said in zip(file.header, file.columns.roles, file.columns.labels, strict=True)
    ]
    return Seen(file.columns.format, file.source.encoding, file.separator, columns, samples, wrong)


def _meaning(role: str, label: str) -> str:
    return f"{AS_FIELD}{label}"[:SHOWN_MAX] if role == FIELD else role


def _reader(db: Database, account_id: int, columns: Columns, wishes: Wishes) -> Reader:
    """Return what reads records so that their values bear the labels of their fields."""
    meaning = names.meaning(db, account_id, columns, db.clock(), state=wishes.state, trial=True)
    there = ("",) if wishes.create_fields else ("", "0")
    ids = tuple("" if one in there else label for one, label in zip(meaning.ids, columns.labels, strict=True))
    surname = "Last name" if meaning.surname or wishes.create_fields else ""
    fields = db.write_now(account_id, custom_fields.all_fields)
    labels = {str(field.id): field.label for field in fields}
    keys = {key: labels.get(one, key) for key, one in meaning.keys.items()}
    return Reader(msgspec.structs.replace(meaning, ids=ids, surname=surname, keys=keys))


def _sample(reader: Reader | None, cells: list[str], record: int, line: int, wishes: Wishes) -> Sample:
    """Return a record as it stands there, and as it would come in."""
    shown = [cell[:SHOWN_MAX] for cell in cells[:COLUMNS_MAX]]
    if reader is None:
        return Sample(line, shown)
    try:
        who, things = reader.person(cells, record, line)
    except Refused as problem:
        return Sample(line, shown, refused=str(problem).partition(_COMMAND)[0])
    joined = dict.fromkeys(name[:SHOWN_MAX] for _, name in (*things, *wishes.also))
    values: dict[str, str] = msgspec.json.decode(who.fields)
    fields = {label: value[:SHOWN_MAX] for label, value in values.items()}
    return Sample(line, shown, who.email, who.first_name or "", who.state, list(joined)[:NAMES_SHOWN], fields)


def _bare(shown: Shown) -> course.Shown:
    def heard(_: Tally, done: int, size: int) -> None:
        shown(done, size)

    return heard
