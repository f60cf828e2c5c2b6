"""What a file calls by name, found in an account or made: tags, forms, sequences, custom fields."""

import contextlib
import re
import unicodedata
from collections.abc import Sequence

from tidings.core import custom_fields, forms, sequences, tags
from tidings.errors import Invalid
from tidings.moving.formats import FIELD, Columns
from tidings.moving.people import Meaning, Things
from tidings.store.db import Database
from tidings.store.tx import Rx, Tx

SURNAME = "last_name"
# Forms and sequences are not made beyond so many names of all kinds: whoever has more mapped a wrong column.
THINGS_MAX = 10_000
_NUMBER = re.compile(r"#[0-9]+")


class Names:
    """Finds what is joined by its name, `#id` too; a tag that is missing is made, in a trial noted only.

    With `create_things` forms and sequences are made as well: a form asks for a confirmation, a sequence has
    no emails. Without it they stay `unknown`. In a trial what would be made has a number below zero.
    """

    def __init__(
        self, db: Database, account_id: int, *, create_things: bool = False, trial: bool = False
    ) -> None:
        self._db = db
        self._account_id = account_id
        self._made = ("form", "sequence", "tag") if create_things else ("tag",)
        self._trial = trial
        self._known: dict[tuple[str, str], int] = {}
        # Of two with one name neither is meant by it, and none is made beside them.
        self._twice: set[tuple[str, str]] = set()
        self.unknown: set[tuple[str, str]] = set()
        self.missing: set[tuple[str, str]] = set()
        self._look()

    def of(self, combos: Sequence[Things]) -> list[list[tuple[str, int]]]:
        """Return the same with ids."""
        wanted = {thing for combo in combos for thing in combo if thing[0] in self._made}
        new = sorted(thing for thing in wanted if not self._has(*thing) and self._may(*thing))
        for kind, name in new if self._trial else ():
            self._known[kind, _key(name)] = -1 - len(self.missing)
            self.missing.add((kind, name))
        if new and not self._trial:
            self._make(new)
        return [self._ids(combo) for combo in combos]

    def _ids(self, combo: Things) -> list[tuple[str, int]]:
        found: dict[tuple[str, int], None] = {}
        for kind, name in combo:
            ref_id = self._known.get((kind, _key(name)))
            if ref_id is not None:
                found[kind, ref_id] = None
            else:
                self.unknown.add((kind, name))
        return list(found)

    def _may(self, kind: str, name: str) -> bool:
        """Whether a thing of this name may be made: none that is meant by its number, or is there twice."""
        if kind == "tag":
            return (kind, _key(name)) not in self._twice
        meant = _NUMBER.fullmatch(name.strip()) or (kind, _key(name)) in self._twice
        return not meant and len(self._known) < THINGS_MAX

    def _has(self, kind: str, name: str) -> bool:
        return (kind, _key(name)) in self._known

    def _make(self, things: list[tuple[str, str]]) -> None:
        """Make things, the tags at once; another process may make the same at this moment."""
        once = {(kind, _key(name)): name for kind, name in things}
        tagged = [name for (kind, _), name in once.items() if kind == "tag"]
        try:
            if tagged:
                self._db.write_now(self._account_id, tags.create, tagged)
        except Invalid:
            self._look()
            for name in tagged:
                if not self._has("tag", name):
                    self._db.write_now(self._account_id, make, "tag", name)
        for (kind, _), name in once.items():
            if kind != "tag":
                self._db.write_now(self._account_id, make, kind, name)
        self._look()

    def _look(self) -> None:
        """Learn what there is."""
        known: dict[tuple[str, str], int] = {}
        twice: set[tuple[str, str]] = set()
        for kind, ref_id, name in self._db.write_now(self._account_id, all_names):
            key = kind, _key(name)
            twice |= {key} if key in known else set()
            known[key] = known[kind, f"#{ref_id}"] = ref_id
        self._known = {key: ref_id for key, ref_id in known.items() if key not in twice}
        self._twice = twice


def make(tx: Tx, kind: str, name: str) -> int:
    """Make a form that asks for a confirmation, a sequence without emails, or a tag; return its id."""
    if kind == "form":
        return forms.create(tx, forms.FormSettings(name=name or "Form"))
    if kind == "sequence":
        return sequences.create(tx, name or "Sequence")
    return tags.create(tx, [name])[0].id


def all_names(rx: Rx) -> list[tuple[str, int, str]]:
    """Return (kind, id, name) of all that people can be in."""
    return [
        *(("form", one.id, one.name) for one in forms.all_forms(rx).values()),
        *(("sequence", one.id, one.name) for one in sequences.all_sequences(rx).values()),
        *(("tag", one.id, one.name) for one in tags.all_tags(rx).values()),
    ]


def meaning(db: Database, account_id: int, columns: Columns, now: int, *, state: str, trial: bool) -> Meaning:
    """Return what the columns mean in this account: those of fields that it has are kept."""
    known: dict[str, str] = {}
    shown: dict[str, str] = {}
    for field in db.write_now(account_id, custom_fields.all_fields):
        known[field.key] = known.setdefault(field.label.casefold(), str(field.id))
        shown[str(field.id)] = field.key
    ids = tuple(
        field_id(known, label, trial=trial) if role == FIELD else ""
        for role, label in zip(columns.roles, columns.labels, strict=True)
    )
    return Meaning(
        columns.roles,
        ids,
        columns.state,
        now,
        forced=state,
        surname=known.get(SURNAME, ""),
        ours=columns.format == "Tidings",
        keys=known,
        shown=shown,
        states=columns.states,
    )


def field_id(known: dict[str, str], label: str, *, trial: bool) -> str:
    """Return the id of a field by its label or key; "" for none, in a trial "0"."""
    try:
        key = custom_fields.key_of(label)
    except Invalid:
        key = ""
    return known.get(label.casefold()) or known.get(key) or ("0" if trial else "")


def make_fields(db: Database, account_id: int, columns: Columns) -> list[str]:
    """Make the custom fields that a file has and the account has not; return their labels."""
    made: list[str] = []
    for label in missing_fields(db, account_id, columns):
        made += [one.label for one in db.write_now(account_id, custom_fields.create, [label])]
    return made


def missing_fields(db: Database, account_id: int, columns: Columns) -> list[str]:
    """Return the labels of the custom fields that a file has and the account has not."""
    known: dict[str, str] = {}
    for field in db.write_now(account_id, custom_fields.all_fields):
        known[field.key] = known.setdefault(field.label.casefold(), str(field.id))
    wanted = [*columns.fields, *(["Last name"] if {"last_name", "full_name"} & set(columns.roles) else [])]
    missing: list[str] = []
    for label in wanted:
        if label and not field_id(known, label, trial=False):
            missing.append(label)
            known[label.casefold()] = "0"
            with contextlib.suppress(Invalid):
                known[custom_fields.key_of(label)] = "0"
    return missing


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name.strip()).casefold()
