"""A record of a file becomes a person, or is refused with a reason; nothing is guessed that would mail."""

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from tidings.core.custom_fields import VALUE_MAX
from tidings.core.importing import Incoming
from tidings.core.subscribers import NAME_MAX
from tidings.mail import address
from tidings.moving.formats import FIELD, NOTHING

TAGS_MAX = 200
TAG_MAX = 255
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# Values keep tabs and line breaks, as custom_fields does.
_VALUE_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_NUMBER = re.compile(r"\d{9,13}")
_DATES = ("%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%m/%d/%Y", "%b %d, %Y", "%B %d, %Y", "%Y/%m/%d",
          "%Y-%m-%d %H:%M:%S %z", "%d %b %Y", "%a %b %d %Y")  # fmt: skip
_YES = {"true": "active", "yes": "active", "1": "active", "t": "active",
        "false": "cancelled", "no": "cancelled", "0": "cancelled", "f": "cancelled"}  # fmt: skip
_PROVING = (("created_at", "since"), ("confirmed_at", "confirmed"))
# What spreadsheets take for a formula, and our export marks with an apostrophe (OWASP ASVS 1.2.10).
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


class Refused(Exception):
    """A record that cannot become a person; the text is the reason."""


class Meaning(msgspec.Struct, frozen=True):
    """What the columns mean by now: roles, and for custom fields their ids ("" for what is left out).

    `states` are the words for a state; `state` is what people are whose row does not say, `forced` what
    all are. `now` is the moment of the import in epoch ms, which no time is after; `surname` the id of the
    field that takes a last name; `keys` the ids of the account's fields by key and label.
    """

    roles: tuple[str, ...]
    ids: tuple[str, ...]
    state: str
    now: int
    forced: str = ""
    surname: str = ""
    ours: bool = False
    keys: dict[str, str] = {}
    states: dict[str, str] = {}


Things = tuple[tuple[str, str], ...]


class Reader:
    """Makes people of records; `person` is called for each, some 5 us on plain ones."""

    def __init__(self, meaning: Meaning) -> None:
        self._meaning = meaning
        places = {role: at for at, role in enumerate(meaning.roles) if role not in (FIELD, NOTHING)}
        self._email = places.pop("email")
        self._places = places
        self._fields = [(at, one) for at, one in enumerate(meaning.ids) if meaning.roles[at] == FIELD and one]
        self._columns = len(meaning.roles)
        self._times: dict[str, int | None] = {}
        self._words: dict[tuple[str, str], Things] = {}

    def person(self, cells: list[str], record: int, line: int) -> tuple[Incoming, Things]:
        """Return who a record is, and what they join; raise Refused."""
        if len(cells) != self._columns:
            cells = self._filled(cells)
        if self._meaning.ours:
            cells = [plain(cell) for cell in cells]
        try:
            who = address.parse(cells[self._email])
        except ValueError as problem:
            raise Refused(str(problem)) from problem
        said = {role: cells[at].strip() for role, at in self._places.items()}
        fields = {one: clean_value(cells[at]) for at, one in self._fields if cells[at]}
        first_name = self._name(said, fields)
        if said.get("values"):
            self._values(said["values"], fields)
        state = self._state(said)
        created_at = self._time(said, "created_at") or self._meaning.now
        things = self._things(said)
        person = Incoming(
            record, line, who.email, who.key, who.mailbox, first_name, state, fields, created_at,
            self._since(said, state, created_at), 0, _proof(said), said.get("address", "")[:64],
            _CONTROL.sub("", said.get("source", ""))[:500],
        )  # fmt: skip
        return person, things

    def _filled(self, cells: list[str]) -> list[str]:
        """Return a record with as many cells as there are columns."""
        if len(cells) > self._columns and any(cells[self._columns :]):
            raise Refused(f"the row has {len(cells)} cells, the header {self._columns}")
        return (cells + [""] * self._columns)[: self._columns]

    def _name(self, said: Mapping[str, str], fields: dict[str, str]) -> str | None:
        """Return the first name; of a full name the rest goes to the last name's field."""
        name, last = said.get("first_name", ""), said.get("last_name", "")
        if not name and said.get("full_name"):
            name, _, rest = said["full_name"].partition(" ")
            last = last or rest.strip()
            if last and not self._meaning.surname:
                name = said["full_name"]
        if last and self._meaning.surname:
            fields.setdefault(self._meaning.surname, clean_value(last))
        name = _CONTROL.sub("", name).strip()
        if len(name) > NAME_MAX:
            raise Refused(f"the name is longer than {NAME_MAX} characters")
        return name or None

    def _values(self, packed: str, fields: dict[str, str]) -> None:
        """Take the values of a JSON object that have a field."""
        try:
            values = msgspec.json.decode(packed, type=dict[str, object])
        except msgspec.DecodeError as problem:
            raise Refused("the values are not a JSON object") from problem
        for key, value in values.items():
            one = self._meaning.keys.get(key.casefold())
            if one and value not in (None, ""):
                text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
                fields.setdefault(one, clean_value(text))

    def _state(self, said: Mapping[str, str]) -> str:
        """Return the state; a word that nobody knows makes nobody active."""
        if self._meaning.forced:
            return self._meaning.forced
        state = self._meaning.state
        word = said.get("state", "").casefold().replace(" ", "_").replace("-", "_")
        if word:
            if word not in self._meaning.states:
                raise Refused(f"the state {said['state'][:40]!r} is not known; use --state, or --map it to -")
            state = self._meaning.states[word]
        if said.get("wants"):
            wanted = _YES.get(said["wants"].casefold())
            if wanted is None:
                raise Refused(f"{said['wants'][:40]!r} is neither yes nor no")
            state = wanted if state == "active" else state
        if state == "active" and said.get("bounced_at"):
            return "bounced"
        if state == "active" and said.get("cancelled_at"):
            return "cancelled"
        return state

    def _since(self, said: Mapping[str, str], state: str, created_at: int) -> int:
        """Return since when somebody has their state."""
        stated = self._time(said, "stated_at")
        if state == "active":
            return stated or self._time(said, "confirmed_at") or created_at
        by_state = {"cancelled": "cancelled_at", "bounced": "bounced_at"}.get(state)
        return stated or (self._time(said, by_state) if by_state else None) or self._meaning.now

    def _time(self, said: Mapping[str, str], role: str) -> int | None:
        text = said.get(role)
        if not text:
            return None
        if text not in self._times:
            if len(self._times) > 10_000:
                self._times.clear()
            self._times[text] = moment(text)
        at = self._times[text]
        if at is None or at < 0:
            raise Refused(f"the time {text[:40]!r} cannot be read")
        return min(at, self._meaning.now)

    def _things(self, said: Mapping[str, str]) -> Things:
        found: Things = ()
        for role, kind in (("tags", "tag"), ("forms", "form"), ("sequences", "sequence")):
            text = said.get(role)
            if text:
                known = self._words.get((kind, text))
                if known is None:
                    if len(self._words) > 10_000:
                        self._words.clear()
                    known = self._words[kind, text] = tuple((kind, name) for name in listed(text))
                found += known
        return found


def moment(text: str) -> int | None:
    """Return a time in epoch ms, read as UTC where it has no offset; None when it cannot be read."""
    if _NUMBER.fullmatch(text):
        return int(text) * (1 if len(text) > 11 else 1_000)
    plain_text = text.removesuffix(" UTC")
    for read in (datetime.fromisoformat, *map(_by, _DATES)):
        try:
            at = read(plain_text)
            return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1_000)
        except (ValueError, OverflowError):
            continue
    return None


def listed(text: str) -> list[str]:
    """Return the names of a cell: a JSON list, or names with commas between, in quotes where needed."""
    names: Sequence[str] = ()
    if text.startswith("["):
        try:
            names = msgspec.json.decode(text, type=list[str])
        except msgspec.DecodeError:
            names = (text,)
    else:
        for row in csv.reader([text], skipinitialspace=True):
            names = row
    clean = [_CONTROL.sub("", name).strip() for name in names]
    found = list(dict.fromkeys(name for name in clean if name))
    if len(found) > TAGS_MAX:
        raise Refused(f"the row has more than {TAGS_MAX} tags")
    if any(len(name) > TAG_MAX for name in found):
        raise Refused(f"a tag is longer than {TAG_MAX} characters")
    return found


def clean_value(value: str) -> str:
    """Return the value of a field as it is kept; raise Refused for one too long."""
    if len(value) > VALUE_MAX:
        raise Refused(f"a value is longer than {VALUE_MAX} characters")
    return value if value.isprintable() else _VALUE_CONTROL.sub("", value)


def plain(cell: str) -> str:
    """Return what a cell of our own export holds: without the apostrophe that keeps it from being run."""
    return cell[1:] if cell[:1] == "'" and cell[1:2] in _GUARDED else cell


_GUARDED = frozenset((*FORMULA, "'"))


def guarded(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula; `plain` undoes it."""
    return "'" + cell if cell[:1] in _GUARDED else cell


def _by(form: str) -> Callable[[str], datetime]:
    def read(text: str) -> datetime:
        at = datetime.strptime(text, form)  # noqa: DTZ007 (the offset of the text, else UTC)
        return at if at.tzinfo else at.replace(tzinfo=UTC)

    return read


def _proof(said: Mapping[str, str]) -> str:
    """Return what the file says of a consent, in words."""
    parts = [f"{word} {said[role][:40]}" for role, word in _PROVING if said.get(role)]
    return _CONTROL.sub("", ", ".join(parts))
