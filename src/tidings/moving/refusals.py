"""FILE.rejected.csv: every record that an import refused, with its line and the reason."""

import csv
import io
import os
from collections.abc import Sequence
from typing import Self, TextIO

from tidings.core.importing import Incoming
from tidings.moving.people import guarded
from tidings.moving.source import Unreadable
from tidings.moving.stream import Rejected

HEADER = ("record", "line", "reason")
SUPPRESSED = "the address is suppressed: only a sign-up that its owner confirms brings it back"


class Refusals:
    """Writes what is refused before the slice is committed; an import that goes on drops what it repeats."""

    def __init__(self, path: str, header: Sequence[str], place: int) -> None:
        self.path = path + ".rejected.csv"
        self._header = [*HEADER, *map(guarded, header)]
        self._file: TextIO | None = None
        self.written = 0
        if os.path.exists(self.path):
            self._keep(place)

    def write(self, rejected: Sequence[Rejected], held: Sequence[Incoming]) -> None:
        """Write what a slice refused, and whom it must not bring in."""
        rows = [[str(one.record), str(one.line), one.reason, *map(guarded, one.cells)] for one in rejected]
        rows += [[str(one.record), str(one.line), SUPPRESSED, guarded(one.email)] for one in held]
        if not rows:
            return
        rows.sort(key=lambda row: int(row[0]))
        file = self._opened()
        csv.writer(file).writerows(rows)
        file.flush()
        self.written += len(rows)

    def _opened(self) -> TextIO:
        if self._file is None:
            fresh = not os.path.exists(self.path)
            made = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            self._file = os.fdopen(made, "a", encoding="utf-8", newline="")
            if fresh:
                csv.writer(self._file).writerow(self._header)
        return self._file

    def _keep(self, place: int) -> None:
        """Keep of a file that is there what was refused up to a record; at 0 it is an earlier import's."""
        with open(self.path, encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            if tuple(next(rows, ()))[: len(HEADER)] != HEADER:
                raise Unreadable(f"{self.path} is in the way, and is none of ours; move it")
            kept = [row for row in rows if row and row[0].isdigit() and int(row[0]) <= place]
        os.unlink(self.path)
        if place and kept:
            text = io.StringIO(newline="")
            csv.writer(text).writerows(kept)
            self._opened().write(text.getvalue())
            self.written = len(kept)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
