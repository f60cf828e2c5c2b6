"""Values for a template: plain data only, bounded, with nothing of Python's objects to reach for."""

from collections.abc import Iterable, Mapping

# A subscriber with all custom fields is about 30 values; purchases with lines come to hundreds.
VALUES_MAX = 10_000
DEPTH_MAX = 8
# 1,300 digits: below Python's own limit of 4,300 for turning a number into text.
INT_BITS_MAX = 4_300
# Also the most that one filter may give: a whole letter's HTML is seldom above 100 KB.
TEXT_MAX = 256 * 1024
# Longer lists make the quadratic filters (uniq) slow: 1,000 items are 500,000 comparisons.
ITEMS_MAX = 1_000

Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]


def plain(values: Mapping[str, object]) -> dict[str, Plain]:
    """Copy values as exact dict, list, str, int, float, bool and None; `ValueError` for others.

    Subclasses are reduced to their base, so a string that calls itself safe HTML is escaped again.
    """
    return _Copy().mapping(values.items(), 0)


class _Copy:
    """One copy in progress: counts values and text, so that a hostile import cannot swell a render."""

    __slots__ = ("texts", "values")

    def __init__(self) -> None:
        self.values = 0
        self.texts = 0

    def copy(self, value: object, depth: int) -> Plain:
        """Copy one value and all below it."""
        self.values += 1
        if self.values > VALUES_MAX:
            raise ValueError(f"more than {VALUES_MAX:,} values were given to a template")
        # Ordered by how often each comes.
        if isinstance(value, str):
            return self._text(value)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            if value.bit_length() > INT_BITS_MAX:
                raise ValueError("a number given to a template is too large")
            return int(value)
        if isinstance(value, float):
            return float(value)
        if depth >= DEPTH_MAX:
            raise ValueError(f"values given to a template are nested deeper than {DEPTH_MAX}")
        if isinstance(value, Mapping):
            return self.mapping(value.items(), depth)
        if isinstance(value, list | tuple):
            if len(value) > ITEMS_MAX:
                raise ValueError(f"a list given to a template has more than {ITEMS_MAX:,} items")
            return [self.copy(item, depth + 1) for item in value]
        raise ValueError(f"a template cannot be given a value of type {type(value).__name__}")

    def mapping(self, items: Iterable[tuple[object, object]], depth: int) -> dict[str, Plain]:
        """Copy what a mapping holds."""
        copied: dict[str, Plain] = {}
        for key, item in items:
            if not isinstance(key, str):
                raise ValueError("the names of values given to a template are text")
            copied[self._text(key)] = self.copy(item, depth + 1)
        return copied

    def _text(self, value: str) -> str:
        """Count the text; the exact `str` of it, lone surrogates (which UTF-8 cannot say) replaced."""
        self.texts += len(value)
        if self.texts > TEXT_MAX:
            raise ValueError(f"more than {TEXT_MAX:,} characters of values were given to a template")
        exact = value if type(value) is str else str.__str__(value)
        if exact.isascii():
            return exact
        return exact.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
