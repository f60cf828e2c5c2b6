"""Where things stand in a TOML text: `tomllib` gives values without their lines.

The text has been read by `tomllib` before, so this scan may take its grammar
(TOML 1.0) for granted and only follows tables, keys, lists and inline tables.
"""

import re
import tomllib
from bisect import bisect_right

Path = tuple[str | int, ...]

# Strings, the long ones first; possessive, so that no text makes the match slow.
_STRING = re.compile(
    r'"""(?:[^\\"]|\\.|"(?!""))*+"{3,5}'
    r"|'''(?:[^']|'(?!''))*+'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*+"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BARE_VALUE = re.compile(r"[^,\]}\n#]+")
_BLANK = re.compile(r"[ \t]+")
# Between statements and within lists: spaces, line ends and comments.
_GAP = re.compile(r"(?:[ \t\n]+|#[^\n]*)+")
_REST_OF_LINE = re.compile(r"[^\n]*")


def lines_of(text: str) -> dict[Path, int]:
    """Return the line, from 1, of every table and key: ("forms", 0, "name") is the first form's name."""
    scan = _Scan(text.replace("\r\n", "\n"))
    scan.run()
    return scan.lines


class _Scan:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._ends = [match.start() for match in re.finditer("\n", text)]
        # How many tables each list of tables has so far.
        self._tables: dict[Path, int] = {}
        self.lines: dict[Path, int] = {}

    def run(self) -> None:
        """Go through all statements: headers, and keys with their values."""
        table: Path = ()
        self._skip(_GAP)
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip(_REST_OF_LINE)
            self._skip(_GAP)

    def _header(self) -> Path:
        line, many = self._line(), self._text.startswith("[[", self._at)
        self._at += 2 if many else 1
        keys = self._key()
        path: Path = ()
        for at, key in enumerate(keys):
            path = (*path, key)
            self.lines.setdefault(path, line)
            if many and at == len(keys) - 1:
                self._tables[path] = self._tables.get(path, 0) + 1
            # A name before the last stands for the newest table of its list.
            if path in self._tables:
                path = (*path, self._tables[path] - 1)
            self.lines.setdefault(path, line)
        return path

    def _pair(self, table: Path) -> None:
        line = self._line()
        path = table
        for key in self._key():
            path = (*path, key)
            self.lines.setdefault(path, line)
        self._skip(_BLANK)
        self._at += 1  # the equals sign
        self._skip(_BLANK)
        self._value(path)

    def _key(self) -> list[str]:
        keys = []
        while True:
            self._skip(_BLANK)
            bare = _BARE_KEY.match(self._text, self._at)
            found = bare or _STRING.match(self._text, self._at)
            assert found is not None  # noqa: S101 (tomllib has read it)
            self._at = found.end()
            keys.append(found[0] if bare else str(tomllib.loads(f"key = {found[0]}")["key"]))
            self._skip(_BLANK)
            if not self._text.startswith(".", self._at):
                return keys
            self._at += 1

    def _value(self, path: Path) -> None:
        self.lines.setdefault(path, self._line())
        opening = self._text[self._at]
        if opening == "[":
            self._list(path)
        elif opening == "{":
            self._inline_table(path)
        else:
            string = _STRING.match(self._text, self._at)
            if string:
                self._at = string.end()
            else:
                self._skip(_BARE_VALUE)

    def _list(self, path: Path) -> None:
        self._at += 1
        index = 0
        while True:
            self._skip(_GAP)
            if self._text[self._at] == "]":
                break
            if self._text[self._at] == ",":
                self._at += 1
                index += 1
            else:
                self._value((*path, index))
        self._at += 1

    def _inline_table(self, path: Path) -> None:
        self._at += 1
        while True:
            self._skip(_GAP)
            if self._text[self._at] == "}":
                break
            if self._text[self._at] == ",":
                self._at += 1
            else:
                self._pair(path)
        self._at += 1

    def _skip(self, what: re.Pattern[str]) -> None:
        found = what.match(self._text, self._at)
        if found:
            self._at = found.end()

    def _line(self) -> int:
        return bisect_right(self._ends, self._at - 1) + 1
