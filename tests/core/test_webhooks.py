"""Webhooks: each event with what it needs, addresses that can be posted to, one account's only."""

import base64
from typing import Any

import pytest

from tests.core.cast import DAY, Cast, Clock, Owner
from tidings.core import events, webhooks
from tidings.core.webhooks import NEEDS, URL_MAX, Webhook, keys
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


def test_who_listens_is_counted_from_making_to_deleting_and_switching(db: Database, cast: Cast) -> None:
    ada = cast.ada
    first, second = create(db, ada, "purchase_create"), create(db, ada, "purchase_create")
    create(db, ada, "subscriber_activate")
    assert db.read_now(ada.id, events.listened) == {"purchase_create", "subscriber_activate"}
    assert db.read_now(cast.eve.id, events.listened) == frozenset()
    assert db.write_now(ada.id, webhooks.disable, first.id, "not wanted")
    assert not db.write_now(ada.id, webhooks.disable, first.id, "again")
    db.write_now(ada.id, webhooks.delete, first.id)
    assert "purchase_create" in db.read_now(ada.id, events.listened)
    db.write_now(ada.id, webhooks.disable, second.id, "not wanted")
    assert db.read_now(ada.id, events.listened) == {"subscriber_activate"}
    assert db.write_now(ada.id, webhooks.enable, second.id)
    assert not db.write_now(ada.id, webhooks.enable, second.id)
    assert "purchase_create" in db.read_now(ada.id, events.listened)


def test_a_disabled_webhook_says_why_and_hears_nothing(db: Database, ada: Owner) -> None:
    made = create(db, ada, "purchase_create")
    assert db.read_now(ada.id, webhooks.all_hearing) == [made]
    assert db.read_now(ada.id, webhooks.target, made.id) == TARGET
    db.write_now(ada.id, webhooks.disable, made.id, "it is broken")
    held = db.read_now(ada.id, webhooks.find, made.id)
    assert (held.disabled_why, held.disabled_at is None) == ("it is broken", False)
    assert db.read_now(ada.id, webhooks.all_hearing) == []
    assert db.read_now(ada.id, webhooks.all_webhooks) == [held]


def test_a_webhook_of_a_rule_hears_nothing_and_stands_in_no_list(db: Database, ada: Owner) -> None:
    made = db.write_now(ada.id, webhooks.create_for_rule, 7, TARGET)
    assert (made.rule_id, made.target_url) == (7, TARGET)
    assert db.read_now(ada.id, webhooks.all_webhooks) == []
    assert db.read_now(ada.id, webhooks.all_hearing) == []
    assert db.read_now(ada.id, lambda rx: webhooks.all_webhooks(rx, of_rules=True)) == [made]
    assert db.read_now(ada.id, events.listened) == frozenset()
    with pytest.raises(NotFound):
        db.write_now(ada.id, webhooks.delete, made.id)
    db.write_now(ada.id, webhooks.disable, made.id, "not wanted")
    db.write_now(ada.id, webhooks.enable, made.id)
    assert db.read_now(ada.id, events.listened) == frozenset()
    with pytest.raises(Invalid):
        db.write_now(ada.id, webhooks.create_for_rule, 7, "ftp://example.com")
    db.write_now(ada.id, webhooks.delete_of_rule, 7)
    assert db.read_now(ada.id, webhooks.seen, made.id) is None


def test_webhooks_of_others_are_not_switched(db: Database, cast: Cast) -> None:
    made = create(db, cast.ada, "purchase_create")
    for verb in (webhooks.enable, webhooks.rotate):
        with pytest.raises(NotFound):
            db.write_now(cast.eve.id, verb, made.id)
    with pytest.raises(NotFound):
        db.write_now(cast.eve.id, webhooks.disable, made.id, "")
    assert db.read_now(cast.ada.id, webhooks.find, made.id) == made


def test_after_a_rotation_both_keys_sign_for_a_day_and_then_the_new_one_alone(
    db: Database, ada: Owner, clock: Clock
) -> None:
    made = create(db, ada, "purchase_create")
    assert made.signers(clock.now) == (1,)
    turned = db.write_now(ada.id, webhooks.rotate, made.id)
    assert turned.signers(clock.now + DAY - 1) == (2, 1)
    assert turned.signers(clock.now + DAY) == (2,)
    assert db.write_now(ada.id, webhooks.rotate, made.id).signers(clock.now) == (3, 2)


def test_secrets_differ_by_master_key_account_webhook_and_number_and_have_32_octets() -> None:
    made = {
        keys.secret(master, account_id, webhook_id, key_n)
        for master in (b"k" * 32, b"l" * 32)
        for account_id in (1, 2)
        for webhook_id in (1, 2)
        for key_n in (1, 2)
    }
    assert len(made) == 16
    assert {len(one) for one in made} == {32}
    assert keys.shown(b"\0" * 32) == "whsec_" + "A" * 43 + "="


def test_a_signature_is_the_one_that_the_standard_prints() -> None:
    # Standard Webhooks 1.0, the example of its libraries' own tests.
    octets = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    said = keys.signature(octets, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body)
    assert said == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
