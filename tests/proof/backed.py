"""What a backup of a running broadcast is held against: its ledger, its counters, and what was taken."""

from contextlib import closing
from pathlib import Path

from tests.core.cast import rows
from tests.core.recount import differences
from tests.proof.mailing import Rig
from tests.setup import postgres
from tidings.core import checking, heartbeats
from tidings.core.accounts import INSTALLATION
from tidings.core.broadcasts import course
from tidings.store import backup
from tidings.store.db import Database


def url_of(kind: str, folder: Path) -> str:
    if kind == "sqlite":
        return f"sqlite:///{folder}/mail.db"
    return postgres.fresh_database(postgres.shared_server())


def taken_before(rig: Rig) -> set[int]:
    return {one.delivery_id for one in rig.sink.copies()}


def wrong(rig: Rig, url: str, before: set[int], *, bug: str = "") -> list[str]:
    """Return a line for whatever is not as promised in a restored copy."""
    with closing(Database(url)) as db:
        if bug:
            db.write_now(INSTALLATION, lambda tx: tx.run(bug))
        found = [line for one in db.read_now(INSTALLATION, checking.look) for line in one.wrong]
        found += differences(db)
        states = dict(rows(db, "SELECT id, state FROM deliveries"))
        # What says sent was taken; what was taken before the backup began was handed at least.
        taken = {one.delivery_id for one in rig.sink.copies()}
        found += [f"delivery {id_} is sent, nobody took it" for id_, state in states.items()
                  if state == "sent" and id_ not in taken]  # fmt: skip
        found += [f"delivery {id_} was taken and is {states.get(id_)}" for id_ in before
                  if states.get(id_) not in ("handed", "sent")]  # fmt: skip
        if db.read_now(INSTALLATION, course.sending) or not db.read_now(INSTALLATION, heartbeats.held):
            found.append("what it has still to send is not held")
    return found + backup.faults(url)


def restored(folder: Path, kind: str, file: Path) -> str:
    """Restore a backup into an empty place of the other kind each second time."""
    target = url_of(kind, folder)
    if kind == "sqlite":
        target = f"sqlite:///{folder}/restored-{file.stem}.db"
    backup.restore(str(file), target, lambda db: db.write_now(INSTALLATION, heartbeats.hold, "restored"))
    return target


def away(url: str) -> None:
    if url.startswith("postgresql:"):
        postgres.drop_database(url)
        return
    for one in Path(backup.path_of(url)).parent.glob(Path(backup.path_of(url)).name + "*"):
        one.unlink()
