"""What a value of the file may be. A check returns the value as it is used, or raises `Wrong`."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import urlsplit

from tidings.core import accounts, custom_fields, purchases, slots
from tidings.errors import Problem
from tidings.mail import address

Check = Callable[[object], object]

# Below 2^53 every JSON client reads an id exactly, and the ids after it never run out.
ID_MAX = 2**53 - 1
NAME_MAX = 255
LINE_MAX = 998
HTML_MAX = 1_048_576
URL_MAX = 2_048
LIST_MAX = 10_000
DELAY_DAYS_MAX = 3_650
HOUR_LAST = 23
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_NOT_IN_LINES = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NOT_IN_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_NOT_IN_URL = re.compile(r"[\x00-\x20\x7f-\x9f]")
_DELAY = re.compile(r"([0-9]{1,7}) (minute|hour|day|week)s?")
_UNITS_MS = {"minute": 60_000, "hour": 3_600_000, "day": 86_400_000, "week": 604_800_000}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Wrong(ValueError):
    """A value cannot be used; the text is the end of a sentence that begins with its key."""


def line(value: object, longest: int = NAME_MAX) -> str:
    """Text of one line, without the spaces around it; not blank."""
    words = _text(value).strip()
    if not words:
        raise Wrong("must not be blank")
    return _line(words, longest)


def subject(value: object) -> str:
    """The subject of a mail."""
    return line(value, LINE_MAX)


def line_or_blank(value: object) -> str:
    """Text of one line, which may be blank."""
    return _line(_text(value).strip(), LINE_MAX)


def text(value: object) -> str:
    """Text of any number of lines: HTML, a description."""
    words = _text(value)
    if _NOT_IN_TEXT.search(words):
        raise Wrong("must not contain control characters")
    if len(words) > HTML_MAX:
        raise Wrong(f"is too long (maximum is {HTML_MAX} characters)")
    return words


def email(value: object) -> str:
    """An email address."""
    try:
        return address.parse(_text(value)).email
    except ValueError as problem:
        raise Wrong(f"is not an email address: {problem}") from problem


def url_or_blank(value: object) -> str:
    """An http or https address, or blank for none."""
    given = _text(value).strip()
    if not given:
        return ""
    try:
        parts = urlsplit(given)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        fine = False
    if not fine or _NOT_IN_URL.search(given) or len(given) > URL_MAX:
        raise Wrong("must be an http or https address")
    return given


def url(value: object) -> str:
    """An http or https address."""
    return url_or_blank(line(value, URL_MAX))


def ident(value: object) -> int:
    """An id."""
    number = _whole(value)
    if not 1 <= number <= ID_MAX:
        raise Wrong(f"must be an id between 1 and {ID_MAX}")
    return number


def reference(value: object) -> int | str:
    """The id or the name of something."""
    if isinstance(value, str):
        return line(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return ident(value)
    raise Wrong(f"must be an id or a name, not {kind(value)}")


def references(value: object) -> list[int | str]:
    """A list of ids or names, each once."""
    if not isinstance(value, list):
        raise Wrong(f"must be a list of ids or names, not {kind(value)}")
    if len(value) > LIST_MAX:
        raise Wrong(f"has too many entries (maximum is {LIST_MAX})")
    return list(dict.fromkeys(reference(one) for one in value))


def postal(value: object) -> str:
    """A postal address of one or more lines."""
    said = "\n".join(one.strip() for one in text(value).strip().splitlines())
    if not said:
        raise Wrong("must not be blank")
    if len(said) > accounts.POSTAL_MAX or not all(one.isprintable() for one in said.split("\n")):
        raise Wrong(f"must be at most {accounts.POSTAL_MAX} printable characters")
    return said


def email_or_blank(value: object) -> str:
    """An email address, or blank for none."""
    return email(value) if _text(value).strip() else ""


def flag(value: object) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise Wrong(f"must be true or false, not {kind(value)}")
    return value


def quantity(value: object) -> int:
    """How many of a product."""
    number = _whole(value)
    if abs(number) > purchases.QUANTITY_MAX:
        raise Wrong("is too large")
    return number


def money(value: object) -> str:
    """An amount, as exact decimal text."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise Wrong(f"must be a number, not {kind(value)}")
    if isinstance(value, int) and value.bit_length() > 64:
        raise Wrong("is too large")
    if isinstance(value, str) and not value.strip():
        raise Wrong("must be a number, not blank")
    try:
        return purchases.money(value, "")
    except Problem as problem:
        raise Wrong(problem.message.strip()) from problem


def currency(value: object) -> str:
    """A code of three letters (ISO 4217)."""
    code = _text(value).strip()
    if not (code.isascii() and code.isalpha() and len(code) == len("USD")):
        raise Wrong("must be a code of three letters")
    return code.upper()


def code(value: object) -> str:
    """A shop's name for a product, a line or a transaction: text or a whole number."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(_whole(value))
    return line(value)


def moment(value: object) -> int:
    """A date with a time, UTC unless it has an offset; in epoch ms."""
    if not isinstance(value, datetime):
        raise Wrong(f"must be a date with a time such as 2026-12-01T09:00:00Z, not {kind(value)}")
    at = value if value.tzinfo else value.replace(tzinfo=UTC)
    ms = (at - _EPOCH) // timedelta(milliseconds=1)
    if ms < 0:
        raise Wrong("must be after 1970")
    return ms


def delay(value: object) -> int:
    """How long after the email before, in ms: "1 day", "3 hours", "30 minutes", "0"."""
    given = "0" if value == 0 and not isinstance(value, bool) else _text(value).strip()
    if given == "0":
        return 0
    match = _DELAY.fullmatch(given)
    if match is None:
        raise Wrong('must be a delay such as "1 day", "3 hours", "30 minutes" or "0"')
    ms = int(match[1]) * _UNITS_MS[match[2]]
    if ms > DELAY_DAYS_MAX * _UNITS_MS["day"]:
        raise Wrong(f"is too long (maximum is {DELAY_DAYS_MAX} days)")
    return ms


def hour(value: object) -> int:
    """An hour of the day."""
    number = _whole(value)
    if not 0 <= number <= HOUR_LAST:
        raise Wrong(f"must be an hour between 0 and {HOUR_LAST}")
    return number


def weekdays(value: object) -> int:
    """The days on which something may happen, as a mask with Monday = 1."""
    if not isinstance(value, list):
        raise Wrong(f'must be a list of days such as ["monday", "friday"], not {kind(value)}')
    mask = 0
    for one in value:
        day = _text(one).strip().lower()
        if day not in DAYS:
            raise Wrong(f"must be a list of: {', '.join(DAYS)}")
        mask |= 1 << DAYS.index(day)
    if not mask:
        raise Wrong("must name at least one day")
    return mask


def time_zone(value: object) -> str:
    """The name of a time zone in the tz database."""
    name = line(value)
    if not slots.known(name):
        raise Wrong('must be the name of a time zone such as "Europe/Berlin"')
    return name


def fields(value: object) -> dict[str, str]:
    """Values of custom fields by key, all as text."""
    if not isinstance(value, dict):
        raise Wrong(f'must be a table such as {{ last_name = "Stark" }}, not {kind(value)}')
    return {key: _field(key, given) for key, given in value.items()}


def one_of(*words: str) -> Check:
    """Return a check for one of some words."""

    def check(value: object) -> str:
        given = _text(value)
        if given not in words:
            raise Wrong(f"must be one of: {', '.join(words)}")
        return given

    return check


def kind(value: object) -> str:
    """Say in words what a value of the file is."""
    names: tuple[tuple[type, str], ...] = (
        (str, "text"), (bool, "true or false"), (int, "a whole number"), (Decimal, "a number"),
        (list, "a list"), (dict, "a table"),
    )  # fmt: skip
    return next((name for one, name in names if isinstance(value, one)), "a date or a time")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise Wrong(f"must be text, not {kind(value)}")
    return value


def _line(words: str, longest: int) -> str:
    if _NOT_IN_LINES.search(words):
        raise Wrong("must be one line without control characters")
    if len(words) > longest:
        raise Wrong(f"is too long (maximum is {longest} characters)")
    return words


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Wrong(f"must be a whole number, not {kind(value)}")
    # A number in hexadecimal may have more digits than Python turns into text.
    if value.bit_length() > 63:
        raise Wrong("is too large")
    return value


def _field(key: str, value: object) -> str:
    shown = key if key.isprintable() else repr(key)
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        words = str(_whole(value)) if isinstance(value, int) else value
        words = str(words) if isinstance(words, Decimal) else text(words)
    except Wrong as problem:
        raise Wrong(f"has a value for {shown} that {problem}") from problem
    if len(words) > custom_fields.VALUE_MAX:
        raise Wrong(
            f"has a value for {shown} that is too long (maximum is {custom_fields.VALUE_MAX} characters)"
        )
    return words
