"""Webhooks: each event with what it needs, addresses that can be posted to, one account's only."""

from typing import Any

import pytest

from tests.core.cast import Cast, Owner
from tidings.core import events, webhooks
from tidings.core.webhooks import NEEDS, URL_MAX, Webhook
from tidings.errors import Invalid, NotFound
from tidings.store.db import Database

TARGET = "https://example.com/incoming"


def create(db: Database, owner: Owner, event: str, target: str = TARGET, **needed: Any) -> Webhook:
    return db.write_now(owner.id, webhooks.create, event, target, **needed)


def test_every_event_that_is_recorded_can_be_asked_for() -> None:
    assert set(NEEDS) == set(events.NAMES)


@pytest.mark.parametrize("event", tuple(NEEDS))
def test_each_event_is_kept_with_the_name_that_was_used(db: Database, ada: Owner, event: str) -> None:
    for need in NEEDS[event] or (None,):
        made = create(db, ada, event, subject=need, subject_id=5 if need else None)
        assert made == db.read_now(ada.id, webhooks.find, made.id)
        assert (made.event, made.subject, made.target_url) == (event, need, TARGET)
    assert len(db.read_now(ada.id, webhooks.all_webhooks)) == max(1, len(NEEDS[event]))


@pytest.mark.parametrize("event", tuple(name for name, needs in NEEDS.items() if needs))
def test_an_event_without_what_it_needs_is_refused(db: Database, ada: Owner, event: str) -> None:
    for needed in ({}, {"subject": "form_id_2", "subject_id": 1}, {"subject": NEEDS[event][0], "value": ""}):
        with pytest.raises(Invalid):
            create(db, ada, event, **needed)
    assert db.read_now(ada.id, webhooks.all_webhooks) == []


def test_an_unknown_event_is_refused(db: Database, ada: Owner) -> None:
    for event in ("", "subscriber.tag_add", "tag", "TAG_ADD"):
        with pytest.raises(Invalid, match="must be one of"):
            create(db, ada, event, subject="tag_id", subject_id=1)


@pytest.mark.parametrize(
    "target", (TARGET, "http://127.0.0.1:8080/x", "http://[::1]/", "https://no-such-host.invalid/a?b=c#d")
)
def test_private_and_unresolvable_targets_are_accepted(db: Database, ada: Owner, target: str) -> None:
    assert create(db, ada, "purchase_create", target).target_url == target


@pytest.mark.parametrize(
    "target",
    ("", "example.com", "ftp://example.com/", "https://", "https:///x", "https://u:p@example.com/", "https://u@x.com",
     "https://example.com:99999/", "https://example.com:0/", "https://exa mple.com/", "https://example.com/\n",
     "javascript:alert(1)", "https://[::1/", "https://example.com/" + "x" * URL_MAX, "https://example.com/\x00"),
)  # fmt: skip
def test_what_can_never_be_posted_to_is_refused(db: Database, ada: Owner, target: str) -> None:
    with pytest.raises(Invalid) as problem:
        create(db, ada, "purchase_create", target)
    assert problem.value.field == "target_url"


def test_a_value_that_no_database_can_hold_is_refused(db: Database, ada: Owner) -> None:
    with pytest.raises(Invalid):
        create(db, ada, "link_click", subject="initiator_value", value="https://x.com/\x00")
    made = create(db, ada, "link_click", subject="initiator_value", value="https://x.com/?é=🎉")
    assert made.value == "https://x.com/?é=🎉"


def test_a_webhook_is_deleted_once_and_by_its_account_only(db: Database, cast: Cast) -> None:
    made = create(db, cast.ada, "tag_add", subject="tag_id", subject_id=cast.ada.tag)
    with pytest.raises(NotFound):
        db.write_now(cast.eve.id, webhooks.delete, made.id)
    assert db.read_now(cast.eve.id, webhooks.all_webhooks) == []
    db.write_now(cast.ada.id, webhooks.delete, made.id)
    with pytest.raises(NotFound):
        db.write_now(cast.ada.id, webhooks.delete, made.id)


def test_an_account_holds_so_many_webhooks_and_not_one_more(
    db: Database, ada: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "WEBHOOKS_MAX", 2)
    for _ in range(2):
        create(db, ada, "purchase_create")
    with pytest.raises(Invalid, match="at most 2"):
        create(db, ada, "purchase_create")
