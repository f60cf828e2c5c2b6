"""What may not be decided about a sequence, and whose it is not."""

from typing import Any

import pytest

from tests.core.cast import DAY, HOUR, Cast, Clock, Owner
from tests.core.test_sequences import enter, queued, tick, write
from tidings.core import entries, sequences
from tidings.core.sequences import Exclusions, SequenceEmail
from tidings.core.subscribers import zones
from tidings.errors import Invalid, NotFound
from tidings.store.db import Database


def test_another_accounts_sequence_is_never_touched(db: Database, cast: Cast, clock: Clock) -> None:
    ada, eve = cast.ada, cast.eve
    (mine,) = write(db, ada, HOUR)
    (hers,) = write(db, eve, HOUR)
    nia, zoe = enter(db, ada), enter(db, eve)
    words = SequenceEmail("Mine", "<p>m</p>", 0)
    calls: tuple[tuple[Any, tuple[Any, ...]], ...] = (
        (sequences.add_email, (ada.sequence, words)),
        (sequences.change_email, (mine, words)),
        (sequences.move_email, (mine, 1)),
        (sequences.remove_email, (mine,)),
        (sequences.publish, (mine,)),
        (sequences.unpublish, (mine,)),
        (sequences.set_emails, (ada.sequence, [])),
        (sequences.set_exclusions, (ada.sequence, Exclusions())),
        (sequences.set_exclusions, (eve.sequence, Exclusions(tags=[ada.tag]))),
        (sequences.set_exclusions, (eve.sequence, Exclusions(forms=[ada.plain]))),
        (zones.place, (nia, "UTC")),
    )
    for verb, args in calls:
        with pytest.raises(NotFound):
            db.write_now(eve.id, verb, *args)
    with pytest.raises(NotFound):
        db.write_now(eve.id, lambda tx: sequences.set_schedule(tx, ada.sequence, hour=1, zone="account"))
    with pytest.raises(NotFound):
        db.read_now(eve.id, sequences.email, mine)
    assert not db.write_now(eve.id, entries.leave, nia, ada.sequence)
    clock.move(HOUR)
    tick(db)
    assert (queued(db, ada, nia), queued(db, eve, zoe)) == ([mine], [hers])


def test_what_an_owner_may_not_decide_about_an_email_is_refused(db: Database, ada: Owner) -> None:
    good = SequenceEmail("Subject", "<p>x</p>", HOUR)
    changes: tuple[dict[str, Any], ...] = (
        {"subject": " "},
        {"subject": "x" * 999},
        {"subject": "a\nBcc: b"},
        {"preheader": "a\r\nb"},
        {"html": "a\x00b"},
        {"text": "a\x00b"},
        {"delay_ms": -1},
        {"delay_ms": 3_651 * DAY},
        {"weekdays": 0},
        {"weekdays": 128},
        {"hour": 24},
        {"hour": -1},
    )
    for change in changes:
        fields = {name: getattr(good, name) for name in good.__struct_fields__}
        bad = SequenceEmail(**{**fields, **change})
        with pytest.raises(Invalid):
            db.write_now(ada.id, sequences.add_email, ada.sequence, bad)
        with pytest.raises(Invalid):
            db.write_now(ada.id, sequences.set_emails, ada.sequence, [good, bad])
    for rank in (0, -1, 2):
        with pytest.raises(Invalid):
            db.write_now(ada.id, lambda tx, at=rank: sequences.add_email(tx, ada.sequence, good, rank=at))
    for hour, zone in ((24, "account"), (-1, "account"), (9, "server")):
        with pytest.raises(Invalid):
            db.write_now(
                ada.id,
                lambda tx, at=hour, of=zone: sequences.set_schedule(tx, ada.sequence, hour=at, zone=of),
            )
    assert db.read_now(ada.id, sequences.emails, ada.sequence) == []
