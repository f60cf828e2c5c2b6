"""What the doctor says of one thing."""

from dataclasses import dataclass
from typing import Literal

Word = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding: what was looked at, what is so, and what to do about it."""

    word: Word
    what: str
    said: str
    to_do: str = ""

    def line(self) -> str:
        """Say it in one line."""
        return f"{self.word:<4}  {self.what}: {self.said}" + (f"; {self.to_do}" if self.to_do else "")
