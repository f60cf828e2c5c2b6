"""What the words of several commands are read by, and the options that many of them share."""

import argparse
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def account(command: argparse.ArgumentParser) -> None:
    """Let a command be about one account."""
    command.add_argument("--account", metavar="ID", type=positive, help="the account; default: the only one")


def as_json(command: argparse.ArgumentParser) -> None:
    """Let a command print JSON."""
    command.add_argument("--json", action="store_true", help="print JSON")


def positive(text: str) -> int:
    """Read a whole number of 1 or more."""
    # 15 digits stay far within 64 bits.
    if not (text.isascii() and text.isdigit() and len(text) <= 15 and int(text)):
        raise argparse.ArgumentTypeError(f"must be a whole number of 1 or more, not {text[:40]!r}")
    return int(text)


def moment(text: str) -> int:
    """Read a time and return it in epoch ms; without an offset it is UTC."""
    try:
        at = datetime.fromisoformat(text.strip())
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
        ms = (at - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError) as problem:
        raise argparse.ArgumentTypeError(
            f"must be a time such as 2026-12-01T09:00 (UTC) or with an offset, not {text[:40]!r}"
        ) from problem
    if ms < 0:
        raise argparse.ArgumentTypeError("must be after 1970")
    return ms
