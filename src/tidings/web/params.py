"""Parameters of a request, from query string, form body and JSON body into one map.

Reads what contract-v3 1.2 asks: every source for every verb, the body before the query, bracket
keys as Rails reads them, and leniently typed values. Pure: bytes in, plain Python values out
(str, int, Decimal, bool, None, list, dict). The only exceptions that leave are `BadBody` for bytes that
cannot be read and `BadValue` for a list or an object where a scalar is needed. Numbers with a
fraction are Decimal, digit for digit what the client wrote.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from itertools import accumulate, islice
from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec

# The largest known call (a subscribe with 125 fields, tags, forms, courses) has under 200 pairs; more
# than 1,000 is an attempt to spend our time on small objects.
PAIRS_MAX: Final = 1_000
# `purchase[products][0][sku]` has 3; a tree deeper than 8 has no meaning anywhere in the API.
BRACKETS_MAX: Final = 8
# Nothing in the API nests deeper than 4; 32 leaves room for unknown parameters and keeps every later
# walk over the values far from Python's recursion limit.
JSON_DEPTH_MAX: Final = 32
# The largest known call (a purchase of 1,000 products) has about 1,000; 1 MiB of small arrays takes
# 200 ms to build, in which nobody else is served.
JSON_BRACKETS_MAX: Final = 20_000
# RFC 2046, 5.1.1: a boundary is at most 70 characters.
BOUNDARY_MAX: Final = 70
# The headers of one part: two short lines in every browser.
PART_HEADERS_MAX: Final = 4_096
# Ids in one list (tags of a subscribe call); what follows is ignored.
IDS_MAX: Final = 1_000
# More zeros than a binary float can hold (5e-324) nobody means.
EXPONENT_MAX: Final = 324
# Ids are 64-bit and signed in both databases.
ID_MAX: Final = 2**63 - 1

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_NOT_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")
# As signed bytes: +1 to open, -1 to close.
_STEPS: Final = bytes.maketrans(b"{[}]", b"\x01\x01\xff\xff")
_JSON_STRING: Final = re.compile(rb'"[^"]*"')
_BRACKET_KEY: Final = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])+)")
_PART_NAME: Final = re.compile(rb'\bname="([^"]*)"', re.IGNORECASE)
_PART_FILE: Final = re.compile(rb"\bfilename\*?=", re.IGNORECASE)
_BOUNDARY: Final = re.compile(r'\bboundary=(?:"([^"]+)"|([^\s;"]+))', re.IGNORECASE)
_TRUE_WORDS: Final = frozenset({"1", "true", "yes", "on", "t", "y"})


def _exact(written: str) -> Decimal:
    """Keep a number with a fraction as it was written: 0.1 as a binary float is no amount of money."""
    try:
        number = Decimal(written)
    except InvalidOperation:
        raise ValueError("number out of range") from None
    if abs(number.adjusted()) > EXPONENT_MAX:
        raise ValueError("number out of range")
    return number


_decode_json = msgspec.json.Decoder(float_hook=_exact).decode


class BadBody(Exception):
    """The parameters cannot be read; `message` is a sentence for the caller."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BadValue(Exception):
    """The parameter `name` is a list or an object where `expected` (such as "text") is needed."""

    def __init__(self, name: str, expected: str) -> None:
        super().__init__(f"{name} must be {expected}")
        self.name = name
        self.expected = expected


def decode(query: bytes, content_type: str, body: bytes) -> dict[str, object]:
    """Merge query string and body into one map; raises `BadBody`.

    The body wins over the query. A null at the top counts as absent, so a query value shows through it.
    """
    given = _body(content_type, body) if body else {}
    if query:
        # Each source is bounded by itself: PAIRS_MAX of a query and PAIRS_MAX of a form.
        return {**_tree(_pairs(query)), **given}
    return given


def text(params: Mapping[str, object], *names: str) -> str | None:
    """The first present value of these names that is not blank, as given (not trimmed), or None.

    Numbers become their decimal text without an exponent, booleans "true" and "false". A list or an
    object raises `BadValue`.
    """
    for name in names:
        value = params.get(name)
        if value is None:
            continue
        if isinstance(value, str):
            if value and not value.isspace():
                return value
        elif isinstance(value, bool):
            return "true" if value else "false"
        elif isinstance(value, int):
            return str(value)
        elif isinstance(value, float | Decimal):
            return _decimal(Decimal(repr(value)) if isinstance(value, float) else value)
        else:
            raise BadValue(name, "text")
    return None


def integer(value: object) -> int | None:
    """An id: an int or a string of ASCII digits within 1..2**63-1; anything else is None."""
    if isinstance(value, str):
        digits = value.strip()
        # 20 digits exceed ID_MAX; the length is checked first, for int() is quadratic.
        if not digits.isascii() or not digits.isdigit() or len(digits) > 19:
            return None
        number = int(digits)
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    else:
        return None
    return number if 1 <= number <= ID_MAX else None


def id_list(value: object) -> list[int]:
    """Ids from a list, an object with index keys, a comma-joined string or one id; junk is ignored.

    In the given order, repetitions kept, at most IDS_MAX entries read.
    """
    if value is None:
        return []
    if isinstance(value, dict):
        numbered = {key: item for key, item in value.items() if isinstance(key, str) and _is_index(key)}
        entries: Iterable[object] = [numbered[key] for key in sorted(numbered, key=_index_order)]
    elif isinstance(value, list):
        entries = value
    else:
        entries = (value,)
    found = (integer(entry) for entry in islice(_split(entries), IDS_MAX))
    return [number for number in found if number is not None]


def truthy(value: object) -> bool:
    """Whether a flag is set: true, 1, or one of the words 1, true, yes, on, t, y in any case."""
    if isinstance(value, str):
        return len(value) < 16 and value.strip().lower() in _TRUE_WORDS
    return value is True or (isinstance(value, int | float | Decimal) and value == 1)


def _body(content_type: str, body: bytes) -> dict[str, object]:
    """The body's map: JSON by its first byte or its content type, else multipart, else a form."""
    # By content before content type: `curl -d '{…}'` says that it is a form.
    if body[0] in b"{[":
        return _json(body)
    body = body.removeprefix(_BYTE_ORDER_MARK).lstrip(b" \t\r\n")
    if not body:
        return {}
    kind = content_type.lower()
    if body[0] in b"{[" or "json" in kind:
        return _json(body)
    if kind.startswith("multipart/form-data"):
        return _tree(_parts(content_type, body))
    return _tree(_pairs(body))


def _json(body: bytes) -> dict[str, object]:
    # Two counts cost 1 µs for 10 KiB; only bodies with many brackets are looked at closely.
    if body.count(b"{") + body.count(b"[") > JSON_DEPTH_MAX:
        _bound_brackets(body)
    try:
        value = _decode_json(body)
    except UnicodeDecodeError:
        raise BadBody("The JSON body is not valid UTF-8") from None
    except msgspec.DecodeError as problem:
        reason = str(problem).removeprefix("JSON is malformed: ").split(" - at", 1)[0]
        raise BadBody(f"The body is not valid JSON: {reason}") from None
    if not isinstance(value, dict):
        return {}
    if None in value.values():
        return {name: item for name, item in value.items() if item is not None}
    return value


def _bound_brackets(body: bytes) -> None:
    """Raise `BadBody` for JSON that is too deep or has too many arrays and objects, before it is decoded.

    Strings are taken out, then brackets are summed; the worst 1 MiB takes 40 ms, none of it in Python steps.
    """
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    steps = _JSON_STRING.sub(b"", plain).translate(_STEPS, _NOT_BRACKETS)
    if steps.count(1) > JSON_BRACKETS_MAX:
        raise BadBody(f"The JSON body has more than {JSON_BRACKETS_MAX} arrays and objects")
    if max(accumulate(memoryview(steps).cast("b")), default=0) > JSON_DEPTH_MAX:
        raise BadBody(f"The JSON body is nested deeper than {JSON_DEPTH_MAX} levels")


def _pairs(source: bytes) -> list[tuple[str, str]]:
    """Keys and values of a query string or form body, decoded; a key without `=` is absent."""
    pieces = source.split(b"&", PAIRS_MAX)
    if len(pieces) > PAIRS_MAX:
        raise BadBody(f"More than {PAIRS_MAX} parameters were sent")
    pairs = []
    for piece in pieces:
        key, equals, value = piece.partition(b"=")
        if equals and key:
            pairs.append((_unquote(key), _unquote(value)))
    return pairs


def _unquote(source: bytes) -> str:
    """Decode `+` and percent escapes (WHATWG URL, 5.1); invalid UTF-8 becomes U+FFFD."""
    if b"+" in source:
        source = source.replace(b"+", b" ")
    if b"%" in source:
        source = unquote_to_bytes(source)
    return source.decode("utf-8", "replace")


def _parts(content_type: str, body: bytes) -> list[tuple[str, str]]:
    """The text fields of multipart/form-data (RFC 7578); files and malformed parts are left out."""
    found = _BOUNDARY.search(content_type)
    boundary = (found[1] or found[2]).encode("utf-8", "replace") if found else b""
    if not boundary or len(boundary) > BOUNDARY_MAX:
        raise BadBody("The multipart body has no usable boundary")
    # One more for what stands before the first boundary and one for the closing mark.
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary, PAIRS_MAX + 2)
    if len(pieces) > PAIRS_MAX + 2:
        raise BadBody(f"More than {PAIRS_MAX} parameters were sent")
    pairs = []
    for piece in pieces[1:]:
        if piece.startswith(b"--"):
            break
        end = piece.find(b"\r\n\r\n", 0, PART_HEADERS_MAX)
        head = piece[: max(end, 0)]
        name = _PART_NAME.search(head)
        if name and not _PART_FILE.search(head):
            # WHATWG HTML, 4.10.22.8: a name escapes only these three.
            key = name[1].replace(b"%22", b'"').replace(b"%0D", b"\r").replace(b"%0A", b"\n")
            pairs.append((key.decode("utf-8", "replace"), piece[end + 4 :].decode("utf-8", "replace")))
    return pairs


def _tree(pairs: list[tuple[str, str]]) -> dict[str, object]:
    """Build the nested map from flat keys; where shapes conflict the last one wins."""
    root: dict[str, object] = {}
    nested = False
    for key, value in pairs:
        if "[" not in key:
            root[key] = value
            continue
        if key.count("[") > BRACKETS_MAX:
            raise BadBody(f"A parameter is nested deeper than {BRACKETS_MAX} brackets")
        match = _BRACKET_KEY.fullmatch(key)
        if match is None:
            # Unbalanced brackets name nothing that we know; the whole key is kept as it came.
            root[key] = value
            continue
        nested = True
        _place(root, match[1], match[2][1:-1].split("]["), value)
    if nested:
        return {name: _arrays(item) for name, item in root.items()}
    return root


def _place(holder: dict[str, object], name: str, path: list[str], value: str) -> None:
    """Put a value below `holder[name]`; an empty step of the path is an array."""
    if not path:
        holder[name] = value
        return
    below = holder.get(name)
    if path[0]:
        if not isinstance(below, dict):
            below = holder[name] = {}
        _place(below, path[0], path[1:], value)
        return
    if not isinstance(below, list):
        below = holder[name] = []
    if len(path) == 1 or not path[1]:
        # `[][]` would be an array of arrays, which nothing takes: it is read as one array.
        below.append(value)
        return
    if not below or not isinstance(below[-1], dict) or _has(below[-1], path[1:]):
        below.append({})
    _place(below[-1], path[1], path[2:], value)


def _has(item: dict[str, object], path: list[str]) -> bool:
    """Whether the path is taken, so that a repeated key starts a new object; arrays only grow."""
    value: object = item
    for step in path:
        if not step or not isinstance(value, dict) or step not in value:
            return False
        value = value[step]
    return True


def _arrays(value: object) -> object:
    """Turn objects with only index keys into arrays in index order; gaps close up, nothing is allocated."""
    if isinstance(value, list):
        return [_arrays(item) for item in value]
    if not isinstance(value, dict):
        return value
    if all(map(_is_index, value)):
        return [_arrays(value[key]) for key in sorted(value, key=_index_order)]
    return {key: _arrays(item) for key, item in value.items()}


def _is_index(key: str) -> bool:
    return key.isascii() and key.isdigit()


def _index_order(key: str) -> tuple[int, str]:
    """Order digit strings by value without int(), which refuses more than 4,300 digits."""
    digits = key.lstrip("0")
    return len(digits), digits


def _split(entries: Iterable[object]) -> Iterator[object]:
    for entry in entries:
        if isinstance(entry, str):
            # Bounded: a string of a million commas is cut after IDS_MAX of them.
            yield from entry.split(",", IDS_MAX)
        else:
            yield entry


def _decimal(number: Decimal) -> str:
    """Decimal text without an exponent: 1e22 is 23 digits, 5e-324 is 326 characters."""
    return format(number, "f")
