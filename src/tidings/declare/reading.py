"""From the text of a file to a `Plan`: everything that is wrong in it is said before anything is done."""

import re
import tomllib
import unicodedata
from collections.abc import Callable, Mapping
from decimal import Decimal

import msgspec

from tidings.core import webhooks
from tidings.declare import rules, wanted
from tidings.declare.checks import Wrong
from tidings.declare.lines import Path, lines_of
from tidings.declare.tables import Entry, Table
from tidings.declare.wanted import Plan
from tidings.errors import Problem
from tidings.mail import address

TEXT_MAX = 16 * 1_048_576
_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


class Refused(Problem):
    """The file cannot be applied; nothing was changed. The message names the file and the line."""

    def __init__(self, name: str, line: int | None, reason: str) -> None:
        where = name if line is None else f"{name}, line {line}"
        super().__init__(f"{where}: {reason}")


def read(text: str, name: str) -> Plan:
    """Read and check a file; raise `Refused` for the first thing that is wrong."""
    if len(text) > TEXT_MAX:
        raise Refused(name, None, f"is longer than {TEXT_MAX} characters")
    try:
        # Amounts must not pass through binary floats.
        document = tomllib.loads(text, parse_float=Decimal)
        lines = lines_of(text)
    except tomllib.TOMLDecodeError as problem:
        reason = str(problem)
        place = _PLACE.search(reason)
        line = int(place[1]) if place and place[1] else text.count("\n") + 1
        raise Refused(name, line, f"is not TOML: {_PLACE.sub('', reason)}") from problem
    except RecursionError as problem:
        raise Refused(name, None, "is nested too deeply") from problem
    except (ValueError, ArithmeticError) as problem:
        raise Refused(name, None, "holds a number that cannot be read") from problem
    plan = _Reading(name, lines).document(document)
    _refuse_doubles(plan)
    return plan


class _Reading:
    def __init__(self, name: str, lines: Mapping[Path, int]) -> None:
        self._name = name
        self._lines = lines

    def document(self, document: Mapping[str, object]) -> Plan:
        """Check every table of the file."""
        parts: dict[str, object] = {}
        for key, value in document.items():
            if key == "account":
                if not isinstance(value, dict):
                    raise self._refused((key,), "the account must be written as [account]")
                parts[key] = self._entry(wanted.ACCOUNT, value, (key,))
            elif key in wanted.TABLES:
                parts[key] = self._entries(wanted.TABLES[key], value, (key,))
            else:
                said = "table" if isinstance(value, dict | list) else "key"
                raise self._refused((key,), f"unknown {said} {_quoted(key)}")
        plan: Plan = msgspec.structs.replace(Plan(name=self._name), **parts)
        for broadcast in plan.broadcasts:
            if broadcast.status and broadcast.send_at is not None:
                line = broadcast.lines["send_at"]
                raise Refused(self._name, line, "a broadcast has a status or a send_at, not both")
        for webhook in plan.webhooks:
            self._check_event(webhook)
        for rule in plan.rules:
            if found := rules.wrong(rule):
                raise Refused(self._name, *found)
        return plan

    def _entries(self, table: Table, value: object, path: Path) -> list[Entry]:
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            shown = f"written as {table.shown}" if table.shown.startswith("[[") else "a list of tables"
            raise self._refused(path, f"{path[-1]} must be {shown}")
        return [self._entry(table, one, (*path, at)) for at, one in enumerate(value)]

    def _entry(self, table: Table, given: Mapping[str, object], path: Path) -> Entry:
        values: dict[str, object] = {"lines": {"": self._line(path)}}
        lines: dict[str, int] = {"": self._line(path)}
        for key, value in given.items():
            here = (*path, key)
            check = table.keys.get(key)
            if check is None:
                raise self._refused(here, f"unknown key {_quoted(key)} in {table.shown}")
            lines[key] = self._line(here)
            name = table.names.get(key, key)
            if isinstance(check, Table):
                values[name] = self._part(check, value, here)
            else:
                values[name] = self._checked(check, key, value, table, here)
        shown = {name: key for key, name in table.names.items()}
        for field in msgspec.structs.fields(table.makes):
            if field.required and field.name not in values:
                missing = shown.get(field.name, field.name)
                raise self._refused(path, f"{missing} is missing in {table.shown}")
        values["lines"] = lines
        return table.makes(**values)  # type: ignore[arg-type]

    def _part(self, table: Table, value: object, path: Path) -> Entry | list[Entry]:
        """Check a table, or a list of tables, that stands within another."""
        if not table.alone:
            return self._entries(table, value, path)
        if not isinstance(value, dict):
            raise self._refused(path, f"{path[-1]} must be a table such as {{ … }}")
        return self._entry(table, value, path)

    def _checked(
        self, check: Callable[[object], object], key: str, value: object, table: Table, path: Path
    ) -> object:
        try:
            return check(value)
        except Wrong as problem:
            raise self._refused(path, f"{key} in {table.shown} {problem}") from problem

    def _check_event(self, webhook: wanted.Webhook) -> None:
        """Check an event's name, with or without what stands before its dot, and what it needs."""
        group, dot, name = webhook.event.rpartition(".")
        line = webhook.lines["event"]
        if name not in webhooks.NEEDS or (dot and group != event_group(name)):
            known = ", ".join(f"{event_group(one)}.{one}" for one in webhooks.NEEDS)
            raise Refused(self._name, line, f"event in [[webhooks]] must be one of: {known}")
        needs = webhooks.NEEDS[name]
        given = [key for key in webhook.lines if key in _NEEDED]
        for key in given:
            if key not in needs:
                raise Refused(self._name, webhook.lines[key], f"the event {webhook.event} takes no {key}")
        if needs and len(given) != 1:
            raise Refused(self._name, line, f"the event {webhook.event} needs {' or '.join(needs)}")

    def _line(self, path: Path) -> int:
        """The line of a path; what stands within a value of one line has its line."""
        while path not in self._lines and path:
            path = path[:-1]
        return self._lines.get(path, 1)

    def _refused(self, path: Path, reason: str) -> Refused:
        return Refused(self._name, self._line(path), reason)


_NEEDED = {key for needs in webhooks.NEEDS.values() for key in needs}


def event_group(event: str) -> str:
    """Return what stands before the dot of an event's full name."""
    return "purchase" if event == "purchase_create" else "subscriber"


def folded(name: str) -> str:
    """Return a name as tags and custom fields compare it."""
    return unicodedata.normalize("NFC", name).casefold()


def _refuse_doubles(plan: Plan) -> None:
    """Refuse a thing that is declared twice: the second would undo the first at every run."""
    for kind, given in plan.numbered():
        seen: set[int | None] = set()
        for one in given:
            if one.id in seen:
                raise Refused(plan.name, one.lines["id"], f"the id {one.id} is twice in [[{kind}]]")
            seen.add(one.id)
    for kind, key, fold, always in _NAMED:
        named: dict[str, bool] = {}
        for each in getattr(plan, kind):
            name = fold(getattr(each, key))
            numbered = getattr(each, "id", None) is not None
            if name in named and (always or not (numbered and named[name])):
                reason = f"{key} {_quoted(getattr(each, key))} is twice in [[{kind}]]"
                raise Refused(plan.name, each.lines[key], reason if always else reason + "; give each an id")
            named[name] = numbered


# What a table's entries are known by, and whether that is so even when each gives an id.
_NAMED: tuple[tuple[str, str, Callable[[str], str], bool], ...] = (
    ("custom_fields", "label", folded, True),
    ("tags", "name", folded, True),
    ("rules", "name", folded, True),
    ("snippets", "name", str, True),
    ("subscribers", "email", lambda email: address.parse(email).key, True),
    ("purchases", "transaction_id", str, True),
    ("forms", "name", str, False),
    ("sequences", "name", str, False),
    ("broadcasts", "subject", str, False),
)


def _quoted(key: str) -> str:
    shown = key if key.isprintable() else ascii(key)[1:-1]
    return f'"{shown[:80]}"'
