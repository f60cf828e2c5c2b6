"""How a command ended, and what a refusal looks like."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it wrote."""

    code: int
    out: str
    err: str


Run = Callable[..., Ended]


def refused(ended: Ended, sentence: str, code: int = 1) -> None:
    """Hold an end against the rule: its code, nothing on stdout, one plain line on stderr."""
    assert (ended.code, ended.out) == (code, "")
    assert ended.err.startswith("tidings: ")
    assert ended.err.count("\n") == 1
    assert sentence in ended.err
