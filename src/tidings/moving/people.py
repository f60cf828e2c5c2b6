"""A record of a file becomes a person, or is refused with a reason; nothing is guessed that would mail."""

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from tidings.core import importing
from tidings.core.custom_fields import VALUE_MAX
from tidings.core.importing import Incoming, next_state
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
_encode = msgspec.json.Encoder().encode
_FIELDS = msgspec.json.Decoder(dict[str, str])
# What spreadsheets take for a formula, and our export marks with an apostrophe (OWASP ASVS 1.2.10).
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


class Refused(Exception):
    """A record that cannot become a person; the text is the reason."""


class Meaning(msgspec.Struct, frozen=True):
    """What the columns mean by now: roles, and for custom fields their ids ("" for what is left out).

    `states` are the words for a state; `state` is what people are whose row does not say, `forced` what
    all are. `now` is the moment of the import in epoch ms, which no time is after; `surname` the id of the
    field that takes a last name; `keys` the ids of the account's fields by key and label, `shown` their keys
    by id.
    """

    roles: tuple[str, ...]
    ids: tuple[str, ...]
    state: str
    now: int
    forced: str = ""
    surname: str = ""
    ours: bool = False
    keys: dict[str, str] = {}
    shown: dict[str, str] = {}
    states: dict[str, str] = {}


Things = tuple[tuple[str, str], ...]
_STATING = frozenset({"state", "wants", "bounced_at", "cancelled_at"})
_DATING = frozenset({"stated_at", "confirmed_at", "cancelled_at", "bounced_at"})
_JOINING = (("tags", "tag"), ("forms", "form"), ("sequences", "sequence"))


class Reader:
    """Makes people of records; `person` is called for each, some 5 us on plain ones."""

    def __init__(self, meaning: Meaning) -> None:
        self._meaning = meaning
        places = {role: at for at, role in enumerate(meaning.roles) if role not in (FIELD, NOTHING)}
        self._email = places.pop("email")
        self._places = list(places.items())
        self._fields = [(at, one) for at, one in enumerate(meaning.ids) if meaning.roles[at] == FIELD and one]
        self._columns = len(meaning.roles)
        # What need not be looked for in each row.
        have = set(places)
        self._plainly_named = not {"last_name", "full_name"} & have
        self._stated = bool(_STATING & have) and not meaning.forced
        self._dated = bool(_DATING & have)
        self._proving = [(role, word) for role, word in _PROVING if role in have]
        self._addressed = bool({"address", "source"} & have)
        self._joining = [(role, kind) for role, kind in _JOINING if role in have]
        self._shown = list(meaning.shown.items())
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
        said = {role: cells[at].strip() for role, at in self._places}
        fields = {one: clean_value(cells[at]) for at, one in self._fields if cells[at]}
        first_name = self._name(said, fields)
        if said.get("values"):
            self._values(said["values"], fields)
        state = self._state(said) if self._stated else self._meaning.forced or self._meaning.state
        created_at = self._time(said, "created_at") or self._meaning.now
        shown = self._said(who.email, first_name, state, created_at, fields)
        person = Incoming(
            record, line, who.email, who.key, who.mailbox, first_name, state, packed(fields), created_at,
            self._since(said, state, created_at), shown, self._cause(said, line),
        )  # fmt: skip
        return person, self._things(said) if self._joining else ()

    def merged(self, first: Incoming, second: Incoming) -> Incoming:
        """Return one person of two records: the later name and values, the state that mails less."""
        fields = {**_FIELDS.decode(first.fields), **_FIELDS.decode(second.fields)}
        first_name = second.first_name or first.first_name
        state = next_state(first.state, second.state)
        created_at = min(first.created_at, second.created_at)
        return msgspec.structs.replace(
            first,
            first_name=first_name,
            fields=packed(fields),
            state=state,
            created_at=created_at,
            stated_at=max(first.stated_at, second.stated_at),
            said=self._said(first.email, first_name, state, created_at, fields),
        )

    def _said(
        self, email: str, first_name: str | None, state: str, created_at: int, fields: Mapping[str, str]
    ) -> str:
        """Return how an event shows somebody, with every field of the account."""
        value = fields.get
        shown = {key: value(one) for one, key in self._shown}
        return importing.said(email, first_name, state, created_at, shown)

    def _cause(self, said: Mapping[str, str], line: int) -> str:
        """Return where somebody came from, with what the file says of their consent."""
        proof = ", ".join([f"{word} {said[role][:40]}" for role, word in self._proving if said[role]])
        if not proof.isprintable():
            proof = _CONTROL.sub("", proof)
        if not self._addressed:
            return importing.cause(line, proof)
        source = _CONTROL.sub("", said.get("source", ""))[:500]
        return importing.cause(line, proof, said.get("address", "")[:64], source)

    def _filled(self, cells: list[str]) -> list[str]:
        """Return a record with as many cells as there are columns."""
        if len(cells) > self._columns and any(cells[self._columns :]):
            raise Refused(f"the row has {len(cells)} cells, the header {self._columns}")
        return (cells + [""] * self._columns)[: self._columns]

    def _name(self, said: Mapping[str, str], fields: dict[str, str]) -> str | None:
        """Return the first name; of a full name the rest goes to the last name's field."""
        name, last = said.get("first_name", ""), said.get("last_name", "")
        if self._plainly_named and name.isprintable() and len(name) <= NAME_MAX:
            return name or None
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
        if not self._dated and state == "active":
            return created_at
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
        for role, kind in self._joining:
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


def packed(fields: Mapping[str, str]) -> str:
    """Return values by the id of their field as they are kept."""
    return _encode(fields).decode() if fields else "{}"


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
