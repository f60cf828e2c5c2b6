"""Quoted-printable in pieces: constants encoded once, and between them what changes, at any length.

A soft line break (RFC 2045 6.7, rule 5) goes before and after each changing piece, so that no piece
needs to know how long the line before it is. It costs six octets and spares encoding the letter anew.
"""

from collections.abc import Callable, Sequence
from operator import itemgetter

from tidings.mail import message

SOFT = b"=\r\n"
# RFC 2045 6.7: encoded lines have at most 76 characters, the "=" of a soft break among them.
LINE_MAX = 76


def piece(text: str) -> bytes:
    """Encode text that begins at a line's start; what follows it begins at one, too."""
    # What stands for itself, but at a line's end, where the soft break follows.
    if len(text) < LINE_MAX and text.isascii() and text.isprintable() and "=" not in text:
        return text.encode() + SOFT if text else b""
    encoded = message.qp_lines(text)
    if not encoded or encoded.endswith(b"\r\n"):
        return encoded
    last = len(encoded) - encoded.rfind(b"\n") - 1
    if last < LINE_MAX:
        return encoded + SOFT
    # No room for the "=": the last character, which may be an octet "=XX", goes to a line of its own.
    cut = -3 if encoded[-3:-2] == b"=" else -1
    return encoded[:cut] + SOFT + encoded[cut:] + SOFT


def undotted(encoded: bytes) -> bytes:
    """Let no line of a constant begin with a dot, which would have to be doubled in every single mail.

    The dot becomes "=2E" on a line of its own, so that no line grows.
    """
    if encoded.startswith(b"."):
        encoded = b"=2E" + SOFT + encoded[1:]
    return encoded.replace(b"\r\n.", b"\r\n=2E" + SOFT)


class Assembly:
    """Constants and numbered slots in a fixed order; fills in all of a message in two calls."""

    __slots__ = ("_constants", "_largest", "_pick", "size")

    def __init__(self, parts: Sequence[bytes | int]) -> None:
        """Take the parts in order; a number is the slot whose value goes there."""
        joined = _joined(parts)
        self._constants = tuple(part for part in joined if isinstance(part, bytes))
        # One more empty constant, twice: itemgetter of one index gives no tuple.
        count = len(self._constants)
        self._constants += (b"",)
        order: list[int] = [count, count]
        at = 0
        uses: dict[int, int] = {}
        for part in joined:
            if isinstance(part, bytes):
                order.append(at)
                at += 1
            else:
                order.append(count + 1 + part)
                uses[part] = uses.get(part, 0) + 1
        self._pick: Callable[[tuple[bytes, ...]], tuple[bytes, ...]] = itemgetter(*order)
        self._largest = max(uses.values(), default=1)
        self.size = sum(map(len, self._constants))

    def largest(self, values: tuple[bytes, ...]) -> int:
        """Give an upper bound of the octets that these values make."""
        return self.size + self._largest * sum(map(len, values))

    def join(self, values: tuple[bytes, ...]) -> bytes:
        """Put the values into their slots."""
        return b"".join(self._pick(self._constants + values))


def _joined(parts: Sequence[bytes | int]) -> list[bytes | int]:
    """Join neighbouring constants, and leave empty ones out."""
    joined: list[bytes | int] = []
    for part in parts:
        if isinstance(part, bytes) and joined and isinstance(last := joined[-1], bytes):
            joined[-1] = last + part
        elif part != b"":
            joined.append(part)
    return joined
