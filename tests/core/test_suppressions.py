"""Suppressions: who was erased is not mailed again until they say so themselves."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.cast import API, Clock, Owner, join, names, open_account, rows
from tests.core.erased import PEPPER
from tests.core.recount import recount
from tidings.core import (
    confirmations,
    erasure,
    events,
    purchases,
    signup,
    subscribers,
    subscriptions,
    suppressions,
)
from tidings.core.accounts import INSTALLATION
from tidings.core.events import Origin
from tidings.core.purchases import Order
from tidings.core.signup import Also
from tidings.core.subscribers import Subscriber
from tidings.declare import apply_text
from tidings.errors import Invalid
from tidings.store.db import Database

COMMAND = Origin("command")
FORM = Origin("form", "203.0.113.5", source="form page", text="0123456789abcdef")
EMAIL = "bea.long+news@gmail.com"
# The same mailbox, spelt otherwise.
SPELLINGS = (EMAIL, "bealong@gmail.com", "Bea.Long@googlemail.com", "b.e.a.long+x@GMAIL.com")


@pytest.fixture(autouse=True)
def pepper(db: Database) -> None:
    db.pepper = PEPPER


def gone(db: Database, owner: Owner, email: str = EMAIL) -> None:
    """Let somebody sign up and be erased."""
    _, who = join(db, owner, "form", owner.plain, email)
    db.write_now(owner.id, erasure.erase, who.id, COMMAND)


def mails(db: Database, subscriber_id: int) -> int:
    found = rows(db, "SELECT COUNT(*) FROM deliveries WHERE subscriber_id = :id", id=subscriber_id)
    return int(str(found[0][0]))


def buy(db: Database, owner: Owner, email: str) -> None:
    order = Order(transaction_id=f"t-{email}", email=email)
    db.write_now(owner.id, purchases.record, order, API)


def declare(db: Database, owner: Owner, email: str) -> None:
    apply_text(db, owner.id, f'[[subscribers]]\nemail = "{email}"\nstate = "active"\n', lambda _: None)


WAYS: dict[str, Callable[[Database, Owner, str], object]] = {
    "plain form": lambda db, owner, email: join(db, owner, "form", owner.plain, email),
    "sequence": lambda db, owner, email: join(db, owner, "sequence", owner.sequence, email),
    "tag": lambda db, owner, email: join(db, owner, "tag", owner.tag, email),
    "purchase": buy,
    "file": declare,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("email", SPELLINGS)
def test_no_way_but_a_confirmation_makes_an_erased_mailbox_active(
    db: Database, ada: Owner, way: str, email: str
) -> None:
    gone(db, ada)
    for _ in range(2):
        WAYS[way](db, ada, email)
        who = db.read_now(ada.id, subscribers.find, email)
        assert who is not None
        assert who.state == "inactive"
        assert "subscriber_activate" not in names(db, ada, who.id)
        assert mails(db, who.id) == 0
    recount(db)


def test_the_link_of_a_confirmation_brings_them_back_for_good(db: Database, ada: Owner, clock: Clock) -> None:
    gone(db, ada)
    joined, who = join(db, ada, "form", ada.double, EMAIL)
    assert who.state == "inactive"
    assert mails(db, who.id) == 1
    _, who = db.write_now(ada.id, confirmations.confirm, joined.id, clock.now, Origin("link", "203.0.113.9"))
    assert who.state == "active"
    assert rows(db, "SELECT COUNT(*) FROM suppressions") == [(0,)]
    db.write_now(ada.id, signup.unsubscribe, EMAIL, API)
    _, who = join(db, ada, "form", ada.plain, EMAIL)
    assert who.state == "active"
    recount(db)


def test_a_suppression_holds_in_its_own_account_only(db: Database, ada: Owner) -> None:
    eve = db.write_now(INSTALLATION, open_account, "Zoe")
    gone(db, ada)
    _, who = join(db, eve, "form", eve.plain, EMAIL)
    assert who.state == "active"


def test_nobody_is_given_the_address_of_an_erased_mailbox(db: Database, ada: Owner) -> None:
    gone(db, ada)
    _, other = join(db, ada, "form", ada.plain, "other@example.com")
    with pytest.raises(Invalid, match="was erased"):
        db.write_now(
            ada.id,
            lambda tx: subscribers.update(tx, other.id, email=SPELLINGS[1], first_name=None, fields={}),
        )


def test_what_is_kept_tells_nothing_without_the_key(db: Database, ada: Owner) -> None:
    gone(db, ada)
    [(digest,)] = rows(db, "SELECT digest FROM suppressions")
    mailbox = subscribers.person(EMAIL).address.mailbox
    assert digest == db.read_now(ada.id, suppressions.digest, mailbox)
    db.pepper = b"q" * 32
    assert digest != db.read_now(ada.id, suppressions.digest, mailbox)
    db.pepper = b""
    with pytest.raises(AssertionError, match="master key"):
        join(db, ada, "form", ada.plain, EMAIL)


def test_sign_ups_ask_nothing_more_where_nobody_was_erased(db: Database, ada: Owner) -> None:
    # Without a key nothing may be asked, so nothing is.
    db.pepper = b""
    _, who = join(db, ada, "form", ada.plain, EMAIL)
    assert who.state == "active"


def test_adding_twice_is_once_and_lifting_says_whether_it_was_held(db: Database, ada: Owner) -> None:
    assert db.write_now(ada.id, suppressions.lift, "a@example.com") is False
    for _ in range(2):
        db.write_now(ada.id, suppressions.add, "a@example.com", "asked")
    assert db.read_now(ada.id, suppressions.holds, "a@example.com")
    assert not db.read_now(ada.id, suppressions.holds, "b@example.com")
    assert db.write_now(ada.id, suppressions.lift, "a@example.com") is True
    assert not db.read_now(ada.id, suppressions.holds, "a@example.com")


def test_another_process_sees_an_erasure_with_its_next_sign_up(
    db: Database, open_db: Callable[[], Database], ada: Owner
) -> None:
    other = open_db()
    other.pepper = PEPPER
    join(other, ada, "form", ada.plain, "warm@example.com")
    gone(db, ada)
    _, who = join(other, ada, "form", ada.plain, EMAIL)
    assert who.state == "inactive"


WORDS = [*WAYS, "double", "confirm", "unsubscribe", "erase", "feedback"]
steps = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(SPELLINGS)), min_size=1, max_size=14)


def test_only_a_confirmation_since_the_last_erasure_makes_an_erased_mailbox_active(
    db: Database, clock: Clock
) -> None:

    @given(steps)
    def check(history: list[tuple[str, str]]) -> None:
        owner = db.write_now(INSTALLATION, open_account, "Ada")
        erased: set[int] = set()
        held = False
        for step, email in history:
            who = db.read_now(owner.id, subscribers.find, email)
            if step == "erase" and who:
                db.write_now(owner.id, erasure.erase, who.id, COMMAND)
                erased.add(who.id)
                held = True
            elif step == "confirm" and who:
                held = not _confirm(db, owner, who, clock) and held
            else:
                _do(db, owner, step, email, who)
            after = db.read_now(owner.id, subscribers.find, email)
            if after is not None:
                assert after.id not in erased
                # While the mailbox is held nobody becomes active; who was stays so.
                was_active = who is not None and who.state == "active"
                assert after.state != "active" or was_active or not held
        recount(db)

    check()


def _do(db: Database, owner: Owner, step: str, email: str, who: Subscriber | None) -> None:
    """Take one step about an address that need not be anybody's."""
    if step in WAYS:
        WAYS[step](db, owner, email)
    elif step == "double":
        join(db, owner, "form", owner.double, email)
    elif step == "unsubscribe" and who:
        db.write_now(owner.id, signup.unsubscribe, email, API)
    elif step == "feedback" and who and who.state in ("active", "inactive"):
        db.write_now(owner.id, subscriptions.turn, who, "bounced")


def _confirm(db: Database, owner: Owner, who: Subscriber, clock: Clock) -> bool:
    """Press the link of the double form, if it was asked for; return whether it lifted anything."""
    joined = db.read_now(owner.id, subscriptions.find, who.id, "form", owner.double)
    if joined is None:
        return False
    db.write_now(owner.id, confirmations.confirm, joined.id, clock.now, API)
    return who.state == "inactive"


consents = st.lists(
    st.tuples(
        st.sampled_from(("form", "plain", "tag", "sequence", "purchase", "confirm", "leave")),
        st.integers(0, 2),
    ),
    max_size=12,
)


def test_every_active_person_has_proof_of_their_consent(db: Database, clock: Clock) -> None:

    @given(consents)
    def check(history: list[tuple[str, int]]) -> None:
        owner = db.write_now(INSTALLATION, open_account, "Ada")
        for step, number in history:
            _consent(db, owner, step, f"p{number}@example.com", clock)
        sql = "SELECT id FROM subscribers WHERE account_id = :id AND state = 'active'"
        for (row_id,) in rows(db, sql, id=owner.id):
            proof = _proof(db, owner, int(str(row_id)))
            assert proof, f"subscriber {row_id} is active without proof"
            for event in proof:
                assert event.created_at <= clock.now
                assert event.origin.address
                assert event.origin.door != "form" or event.origin.text == FORM.text

    check()


def _consent(db: Database, owner: Owner, step: str, email: str, clock: Clock) -> None:
    who = db.read_now(owner.id, subscribers.find, email)
    if step in ("form", "plain"):
        form_id = owner.double if step == "form" else owner.plain
        db.write_now(owner.id, signup.sign_up, "form", form_id, subscribers.person(email), Also(), FORM)
    elif step in ("tag", "sequence"):
        join(db, owner, step, getattr(owner, step), email)
    elif step == "purchase":
        buy(db, owner, email)
    elif step == "confirm" and who:
        _confirm(db, owner, who, clock)
    elif step == "leave" and who:
        db.write_now(owner.id, signup.unsubscribe, email, API)


def _proof(db: Database, owner: Owner, subscriber_id: int) -> list[events.Event]:
    told = db.read_now(owner.id, events.of_subscriber, subscriber_id)
    return [one for one in told if one.name == "subscriber_activate"]
