"""Adding a person by hand: somebody new alone, with the events of a sign-up."""

import pytest

from tests.core.cast import Cast, Owner, names
from tests.core.recount import recount
from tidings.core import signup, subscribers, subscriptions, tags
from tidings.core.events import Origin
from tidings.core.signup import Also
from tidings.errors import Invalid, NotFound
from tidings.store.db import Database

BY_HAND = Origin("dashboard", source="asked me")


def add(db: Database, owner: Owner, email: str, also: Also | None = None) -> subscribers.Subscriber:
    return db.write_now(owner.id, signup.add, subscribers.person(email, "New"), also or Also(), BY_HAND)


def test_who_is_added_to_nothing_is_active(db: Database, ada: Owner) -> None:
    who = add(db, ada, "new@example.com")
    assert who.state == "active"
    assert names(db, ada, who.id) == ["subscriber_activate"]
    recount(db)


def test_who_is_added_to_a_form_that_asks_confirms_first(db: Database, ada: Owner) -> None:
    who = add(db, ada, "new@example.com", Also(forms=[ada.double], tags=[ada.tag]))
    assert who.state == "inactive"
    assert db.read_now(ada.id, subscriptions.tag_ids, who.id) == [ada.tag]
    recount(db)


def test_who_is_here_already_is_refused_and_stays_as_they_are(db: Database, ada: Owner, cast: Cast) -> None:
    gone = db.read_now(ada.id, subscribers.get, cast.bea)
    db.write_now(ada.id, subscriptions.unsubscribe, gone, BY_HAND)
    for also in (Also(), Also(forms=[ada.plain])):
        with pytest.raises(Invalid):
            add(db, ada, "BEA@example.com", also)
    assert db.read_now(ada.id, subscribers.get, cast.bea).state == "cancelled"
    with pytest.raises(NotFound):
        add(db, ada, "new@example.com", Also(forms=[cast.eve.plain]))


def test_a_tag_is_found_by_its_name_or_made_and_put_on_once(db: Database, ada: Owner, cast: Cast) -> None:
    made = db.write_now(ada.id, tags.named, "Fresh")
    assert db.write_now(ada.id, tags.named, " fresh ") == made
    for _ in range(2):
        db.write_now(ada.id, tags.put_on, made.id, cast.bea, BY_HAND)
    assert names(db, ada, cast.bea).count("tag_add") == 1
    for tag_id, who in ((made.id, 999), (999, cast.bea), (cast.eve.tag, cast.bea)):
        with pytest.raises(NotFound):
            db.write_now(ada.id, tags.put_on, tag_id, who, BY_HAND)
