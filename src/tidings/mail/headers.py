"""Header fields: text that a stranger typed becomes bytes that cannot start a field of their own.

The `email` package is not used to write headers: on Python below 3.11.10 its policies `SMTP` and
`default` unfold an encoded word into a real CR LF (CVE-2024-6923), so a first name could add `Bcc:`.
Every value here goes through `clean`, is encoded by this module alone, and `read_names` parses the
finished block again.
"""

import base64
import re
from collections.abc import Iterator

# RFC 5322 2.1.1: a line should have 78 characters and must not have more than 998, CRLF not counted.
LINE_WISHED = 78
LINE_MAX = 998
# RFC 2047 2: an encoded word has at most 75 characters; its frame "=?utf-8?q?" and "?=" takes 12.
WORD_MAX = 75
_FRAME = 12

# Breaks and tabs part words, so they become a space; the rest of C0, DEL, C1, lone surrogates and
# what reorders the text around it (bidi embeddings, overrides, isolates) is dropped.
_BREAKS = re.compile("[\\t\\n\\x0b\\x0c\\r\\x85\\u2028\\u2029]+")
_DROPPED = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\u202a-\\u202e\\u2066-\\u2069]")
_PRINTABLE = re.compile(r"[ -~]*\Z")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*\Z")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,59}\Z")
# RFC 2047 5 (3), the narrowest of its three sets: right in a phrase, and so right everywhere.
_Q_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")
_FIELD = re.compile(rb"([A-Za-z][A-Za-z0-9-]*): ?([^\r\n\x00]*)\Z")


def clean(text: str) -> str:
    """Make one line of what a person typed: no controls, no separators, no text reordering."""
    if text.isascii() and text.isprintable():
        return text.strip(" ")
    return _DROPPED.sub("", _BREAKS.sub(" ", text)).strip()


def check_name(name: str) -> str:
    """Give the field name back, or raise `ValueError`: letters, digits and hyphens, 60 at most."""
    if _NAME.match(name) is None:
        raise ValueError(f"not a header name: {name!r}")
    return name


def text_field(name: str, text: str) -> bytes:
    """Write an unstructured field such as Subject (RFC 5322 3.6.5), folded, ending in CRLF."""
    value = clean(text)
    if _goes_plain(value):
        return _folded(check_name(name), value.split(" "))
    return _folded(check_name(name), list(_encoded_words(value, LINE_WISHED - len(name) - 2)))


def url_field(name: str, text: str) -> bytes:
    """Write a field of URLs in angle brackets, such as List-Unsubscribe (RFC 2369).

    Encoded words would hide the URL, so whatever is not plain is percent-encoded (RFC 3986 2.1).
    """
    value = re.sub(r" +", " ", clean(text)).replace("=?", "=%3F")
    plain = re.sub(r"[^ -~]", lambda found: "".join(f"%{octet:02X}" for octet in found[0].encode()), value)
    words = plain.split(" ")
    # The first word shares its line with the name, a colon and a space.
    if len(name) + 2 + max(map(len, words)) > LINE_MAX:
        raise ValueError(f"an address in {name} is longer than a line may be")
    return _folded(check_name(name), words)


def mailbox_field(name: str, display: str, address: str) -> bytes:
    """Write a field of one mailbox, `Name <address>` (RFC 5322 3.4); `address` is checked already."""
    shown = clean(display)
    if not shown:
        return _folded(check_name(name), [address])
    return _folded(check_name(name), [*_phrase(shown, LINE_WISHED - len(name) - 2), f"<{address}>"])


def raw_field(name: str, value: str) -> bytes:
    """Write a field whose value this package made itself: Date, Message-ID, the MIME fields."""
    return _folded(check_name(name), value.split(" "))


def read_names(block: bytes) -> list[str]:
    """Parse a header block strictly and give the field names in order; `ValueError` at any oddity.

    Lines end in CRLF and nothing else, hold at most 998 octets and no NUL, a folded line is not blank.
    """
    if not block.endswith(b"\r\n"):
        raise ValueError("the header block does not end in CRLF")
    names: list[str] = []
    for line in block[:-2].split(b"\r\n"):
        if len(line) > LINE_MAX:
            raise ValueError("a header line is longer than 998 octets")
        if b"\r" in line or b"\n" in line or b"\x00" in line:
            raise ValueError("a header line holds a bare CR, a bare LF or a NUL")
        if line[:1] == b" " and names and line.strip(b" \t"):
            continue
        field = _FIELD.match(line)
        if field is None:
            raise ValueError("a header line is neither a field nor the continuation of one")
        names.append(field[1].decode("ascii"))
    return names


def _goes_plain(value: str) -> bool:
    """Whether a cleaned value can stand as it is.

    "=?" would be decoded a second time by the reader. Doubled spaces and long words do not survive
    folding, so they too go into encoded words.
    """
    if _PRINTABLE.match(value) is None or "=?" in value or "  " in value:
        return False
    return len(max(value.split(" "), key=len)) <= WORD_MAX


def _phrase(shown: str, first: int) -> list[str]:
    """Give the words of a display name: atoms, one quoted string, or encoded words."""
    if "=?" not in shown and len(shown) <= LINE_WISHED // 2:
        if _ATOMS.match(shown):
            return shown.split(" ")
        if _PRINTABLE.match(shown):
            escaped = shown.replace("\\", "\\\\").replace('"', '\\"')
            # One word, so that folding never falls between the quotes; 39 letters make at most 80.
            return [f'"{escaped}"']
    return list(_encoded_words(shown, first))


def _encoded_words(text: str, first: int) -> Iterator[str]:
    """Cut text into encoded words (RFC 2047) of whole characters; `first` bounds the first of them.

    All of the text is inside them, because the reader drops the space between two.
    """
    encoding = "q" if _q_is_shorter(text) else "b"
    # 24 leaves room for a character of four octets in either encoding, under any field name.
    room = max(min(first, WORD_MAX), 24) - _FRAME
    chunk: list[str] = []
    used = 0
    for char in text:
        octets = char.encode()
        cost = sum(1 if o in _Q_SAFE or o == 0x20 else 3 for o in octets) if encoding == "q" else len(octets)
        if used + cost > (room if encoding == "q" else room // 4 * 3):
            yield _word(encoding, "".join(chunk))
            chunk, used, room = [], 0, WORD_MAX - _FRAME
        chunk.append(char)
        used += cost
    yield _word(encoding, "".join(chunk))


def _q_is_shorter(text: str) -> bool:
    """Compare the two encodings by length: three per unsafe octet, or four for every three."""
    octets = text.encode()
    unsafe = sum(1 for octet in octets if octet not in _Q_SAFE and octet != 0x20)
    return len(octets) + 2 * unsafe <= len(octets) * 4 / 3


def _word(encoding: str, text: str) -> str:
    """Write one encoded word."""
    octets = text.encode()
    if encoding == "b":
        return f"=?utf-8?b?{base64.b64encode(octets).decode('ascii')}?="
    body = "".join("_" if o == 0x20 else chr(o) if o in _Q_SAFE else f"={o:02X}" for o in octets)
    return f"=?utf-8?q?{body}?="


def _folded(name: str, words: list[str]) -> bytes:
    """Join words by single spaces, breaking the line before a word that would pass 78 octets."""
    lines: list[str] = []
    line = name + ":"
    used = len(line)
    for word in words:
        length = len(word.encode())
        if used + 1 + length > LINE_WISHED and used > len(name) + 1:
            lines.append(line)
            line, used = "", 0
        line += " " + word
        used += 1 + length
    lines.append(line)
    return ("\r\n".join(lines) + "\r\n").encode()
