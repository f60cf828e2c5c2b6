"""`tidings apply`: what an account has, declared in one TOML file.

A door whose requests are files. The whole file is checked first, then one transaction
makes and changes what differs from it; applying it twice changes nothing. A key that is
not in the file leaves what is there as it is, and nothing is ever deleted.
"""

from collections.abc import Callable
from importlib import resources

from tidings.declare import reading, writing
from tidings.declare.outcome import Report
from tidings.declare.reading import Refused
from tidings.store import ids
from tidings.store.db import Database

__all__ = ["Refused", "Report", "apply_text", "example"]


def apply_text(
    db: Database, account_id: int, text: str, said: Callable[[str], None], *, name: str = "the file"
) -> Report:
    """Bring an account to what the text declares; all or nothing.

    `said` is told in lines what was done, `name` stands for the text in messages. Raises
    `Refused` with the line of what is wrong, `NotFound` for an unknown account.
    """
    plan = reading.read(text, name)
    for table, given in plan.numbered():
        ids.move_past(db, table, max(one.id for one in given if one.id is not None))
    report = db.write_now(account_id, writing.declare, plan)
    for line in report.lines():
        said(line)
    return report


def example() -> str:
    """Return the text of `examples/newsletter.toml`, the demonstration."""
    return resources.files("tidings").joinpath("examples", "newsletter.toml").read_text(encoding="utf-8")
