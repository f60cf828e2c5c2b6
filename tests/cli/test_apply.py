"""`tidings apply`: what a file makes, what it changes, and that a second time does nothing."""

from datetime import UTC, datetime

import pytest

from tests.core import recount
from tests.core.cast import Clock, Owner
from tidings import declare
from tidings.core import (
    accounts,
    broadcasts,
    counters,
    custom_fields,
    events,
    forms,
    purchases,
    sequences,
    snippets,
    subscribers,
    subscriptions,
    tags,
    webhooks,
)
from tidings.store.db import Database
from tidings.store.tx import Rx

TABLES = (
    "accounts", "broadcasts", "confirmation_caps", "counters", "credentials", "custom_fields", "deliveries",
    "events", "forms", "generations", "outbox", "purchase_products", "purchases", "sequence_emails",
    "sequences", "subscribers", "subscriptions", "tags", "webhooks",
)  # fmt: skip


@pytest.fixture
def account(db: Database) -> int:
    return db.write_now(accounts.INSTALLATION, accounts.create, "First", "first@example.com").account_id


def apply(db: Database, account_id: int, text: str) -> declare.Report:
    return declare.apply_text(db, account_id, text, lambda _: None, name="file.toml")


def everything(db: Database) -> dict[str, list[tuple[object, ...]]]:
    def dump(rx: Rx) -> dict[str, list[tuple[object, ...]]]:
        return {name: sorted(rx.all(f"SELECT * FROM {name}"), key=str) for name in TABLES}  # noqa: S608

    return db.read_now(0, dump)


def names_of_events(db: Database, account_id: int, email: str) -> list[str]:
    who = db.read_now(account_id, subscribers.find, email)
    assert who is not None
    return [one.name for one in db.read_now(account_id, events.of_subscriber, who.id)]


def test_the_example_holds_the_ids_that_the_documents_use(db: Database, account: int) -> None:
    apply(db, account, declare.example())

    arya = db.read_now(account, subscribers.get, 1579118532)
    assert (arya.email, arya.first_name, arya.state) == ("arya@example.com", "Arya", "active")
    assert arya.fields == {"last_name": "Stark"}
    newsletter, webinar = (db.read_now(account, forms.find, one) for one in (2765139, 2765140))
    assert (newsletter.name, newsletter.confirmation) == ("Newsletter", "double")
    assert (webinar.name, webinar.confirmation) == ("Webinar", "none")
    assert {one.type for one in db.read_now(account, forms.all_forms).values()} == {"embed", "hosted"}
    assert db.read_now(account, sequences.find, 1030824).name == "Onboarding"
    assert [one.delay_ms for one in db.read_now(account, sequences.emails, 1030824)] == [
        0, 86_400_000, 3 * 86_400_000,
    ]  # fmt: skip
    assert db.read_now(account, tags.find, 2744672).name == "customer"
    assert db.read_now(account, broadcasts.find, 8697158).status == "completed"
    bought = db.read_now(account, purchases.by_transaction, "123-abcd-456-efgh")
    assert bought is not None
    assert (bought.total, [one.name for one in bought.products]) == ("21.0", ["Floppy Disk"])
    hook = db.read_now(account, webhooks.find, 1175937)
    assert (hook.event, hook.subject, hook.subject_id) == ("tag_add", "tag_id", 2744672)
    assert db.read_now(account, accounts.get).name == "Acme Corp."


def test_the_example_has_a_person_in_every_state_and_true_counters(db: Database, account: int) -> None:
    apply(db, account, declare.example())
    for state in subscribers.STATES:
        assert db.read_now(account, counters.total, "subscribers", 0, state) == 1, state
    assert recount.differences(db) == []


def test_applying_the_example_twice_changes_nothing_at_all(db: Database, account: int, clock: Clock) -> None:
    first = apply(db, account, declare.example())
    before = everything(db)
    clock.move(86_400_000)

    second = apply(db, account, declare.example())

    assert everything(db) == before
    assert (second.total("made"), second.total("changed")) == (0, 0)
    assert second.total("left") == first.total("made") + first.total("changed")


def test_nobody_is_asked_for_a_confirmation(db: Database, account: int) -> None:
    apply(db, account, declare.example())
    rows = everything(db)
    assert rows["deliveries"] == []
    assert rows["confirmation_caps"] == []


def test_the_events_are_those_of_what_is_new(db: Database, account: int) -> None:
    apply(db, account, declare.example())
    assert sorted(names_of_events(db, account, "arya@example.com")) == [
        "course_subscribe", "form_subscribe", "product_purchase", "purchase_create", "subscriber_activate",
        "tag_add",
    ]  # fmt: skip
    assert names_of_events(db, account, "gendry@example.com") == ["form_subscribe"]
    assert sorted(names_of_events(db, account, "hodor@example.com")) == [
        "form_subscribe", "subscriber_activate", "subscriber_unsubscribe", "tag_add",
    ]  # fmt: skip
    assert "subscriber_bounce" in names_of_events(db, account, "ned@example.com")
    assert "subscriber_complain" in names_of_events(db, account, "cersei@example.com")


def test_somebody_cancelled_shows_so_in_forms_and_keeps_the_tags(db: Database, account: int) -> None:
    apply(db, account, declare.example())
    who = db.read_now(account, subscribers.find, "hodor@example.com")
    assert who is not None
    joined = db.read_now(account, subscriptions.find, who.id, "form", 2765139)
    assert joined is not None
    assert (joined.state, joined.ended_at is not None) == ("cancelled", True)
    assert db.read_now(account, subscriptions.tag_ids, who.id) == [2744673]


def test_what_differs_is_changed_and_the_rest_left(db: Database, account: int) -> None:
    apply(db, account, declare.example())
    edited = (
        declare.example()
        .replace('title = "Join the newsletter"', 'title = "Come in"')
        .replace('name = "workshop"', 'name = "Workshop"')
        .replace('label = "Last name"', 'label = "last name"')
        .replace('"<p>A draft, to be finished.</p>"', '"<p>Almost.</p>"')
        .replace('delay = "1 day"', 'delay = "2 days"')
        .replace("total = 21.00", "total = 22.50")
        .replace("https://example.com/incoming", "https://example.com/other")
        .replace('first_name = "Arya"', 'first_name = "Arry"')
        .replace('if = [{ state = "active" }]', 'if = [{ tag = 2744673, not = true }]')
    )

    report = apply(db, account, edited)

    assert {kind: counts.get("changed") for kind, counts in report.counts.items()} == {
        "account": None, "custom_fields": 1, "tags": 1, "forms": 1, "sequences": 1, "subscribers": 1,
        "broadcasts": 1, "purchases": 1, "webhooks": 1, "rules": 1,
    }  # fmt: skip
    assert report.total("made") == 0
    assert db.read_now(account, forms.find, 2765139).title == "Come in"
    assert db.read_now(account, tags.find, 2744673).name == "Workshop"
    assert [one.label for one in db.read_now(account, custom_fields.all_fields)] == ["last name"]
    assert db.read_now(account, webhooks.find, 1175937).target_url == "https://example.com/other"
    assert db.read_now(account, subscribers.get, 1579118532).first_name == "Arry"
    assert apply(db, account, edited).total("changed") == 0
    assert recount.differences(db) == []


def test_a_key_that_is_not_in_the_file_leaves_what_is_there(db: Database, account: int) -> None:
    apply(db, account, '[[forms]]\nname = "News"\ndescription = "Weekly"\nconfirm = false\narchived = true')
    report = apply(db, account, '[[forms]]\nname = "News"\ntitle = "Read"')
    [form] = db.read_now(account, forms.all_forms).values()
    assert report.total("changed") == 1
    assert (form.title, form.description, form.confirmation) == ("Read", "Weekly", "none")
    assert form.archived_at is not None
    apply(db, account, '[[forms]]\nname = "News"\narchived = false')
    [form] = db.read_now(account, forms.all_forms).values()
    assert form.archived_at is None


def test_things_without_ids_are_found_by_name_and_stand_for_it(db: Database, account: int) -> None:
    text = """
        [[custom_fields]]
        label = "City"
        [[tags]]
        name = "vip"
        [[forms]]
        name = "News"
        [[sequences]]
        name = "Steps"
        [[broadcasts]]
        subject = "June"
        html = "<p>x</p>"
        send_at = 2030-12-01T09:00:00+01:00
        [[subscribers]]
        email = "a@example.com"
        forms = ["News"]
        sequences = ["Steps"]
        tags = ["vip"]
        fields = { city = 7 }
        [[webhooks]]
        target_url = "https://example.com/x"
        event = "form_subscribe"
        form_id = "News"
        [[webhooks]]
        target_url = "https://example.com/x"
        event = "purchase.purchase_create"
        """
    apply(db, account, text)
    before = everything(db)

    assert apply(db, account, text).total("left") == 8
    assert everything(db) == before
    who = db.read_now(account, subscribers.find, "A@example.com")
    assert who is not None
    assert who.fields == {"city": "7"}
    [broadcast] = db.read_now(account, broadcasts.with_subject, "June")
    assert broadcast.status == "scheduled"
    assert broadcast.send_at == int(datetime(2030, 12, 1, 8, tzinfo=UTC).timestamp() * 1000)


def test_given_ids_and_fresh_ones_never_meet(db: Database, account: int) -> None:
    apply(
        db,
        account,
        '[[tags]]\nname = "fresh"\n[[tags]]\nid = 1\nname = "one"\n[[tags]]\nid = 3\nname = "three"',
    )
    [later] = db.write_now(account, tags.create, ["later"])
    found = {one.name: one.id for one in db.read_now(account, tags.all_tags).values()}
    assert (found["one"], found["three"], found["fresh"]) == (1, 3, 4)
    assert later.id == 5


def test_somebody_who_has_gone_is_not_brought_back(db: Database, account: int) -> None:
    apply(db, account, declare.example())
    arya = db.read_now(account, subscribers.get, 1579118532)
    db.write_now(account, subscriptions.unsubscribe, arya, events.Origin("link"))
    before = everything(db)

    report = apply(db, account, declare.example())

    assert everything(db) == before
    assert report.notes == ["arya@example.com is cancelled and stays so"]


def test_somebody_who_left_a_form_stays_out_of_it(db: Database, account: int) -> None:
    apply(db, account, declare.example())
    arya = db.read_now(account, subscribers.get, 1579118532)
    db.write_now(account, subscriptions.leave, arya, "form", 2765139, events.Origin("api"))
    apply(db, account, declare.example())
    left = db.read_now(account, subscriptions.find, arya.id, "form", 2765139)
    assert left is not None
    assert left.ended_at is not None


@pytest.mark.parametrize("state", ("cancelled", "bounced", "complained"))
def test_a_known_person_turns_for_the_worse_when_the_file_says_so(
    db: Database, account: int, state: str
) -> None:
    apply(db, account, declare.example())
    edited = declare.example().replace('state = "active"', f'state = "{state}"')
    assert apply(db, account, edited).counts["subscribers"] == {"changed": 1, "left": 4}
    assert db.read_now(account, subscribers.get, 1579118532).state == state
    assert apply(db, account, edited).counts["subscribers"] == {"left": 5}
    assert recount.differences(db) == []


def test_a_known_person_joins_what_the_file_adds(db: Database, account: int) -> None:
    apply(db, account, declare.example())
    edited = declare.example().replace("forms = [2765139]\nsequences", 'forms = ["Webinar"]\nsequences')
    assert apply(db, account, edited).counts["subscribers"] == {"changed": 1, "left": 4}
    joined = db.read_now(account, subscriptions.find, 1579118532, "form", 2765140)
    assert joined is not None
    assert joined.state == "active"


def test_another_accounts_things_are_out_of_reach(db: Database, ada: Owner, account: int) -> None:
    before = everything(db)
    kinds = {
        "tags": (ada.tag, 'name = "x"'),
        "forms": (ada.double, 'name = "x"'),
        "sequences": (ada.sequence, 'name = "x"'),
        "custom_fields": (ada.city, 'label = "x"'),
    }
    for kind, (taken, named) in kinds.items():
        with pytest.raises(declare.Refused) as refused:
            apply(
                db, account, f"[[{kind}]]\n{named.replace('x', 'first')}\n\n[[{kind}]]\n{named}\nid = {taken}"
            )
        assert str(refused.value) == f"file.toml, line 6: the id {taken} belongs to another account"
    assert everything(db) == before


def test_another_accounts_people_and_letters_are_out_of_reach(db: Database, account: int) -> None:
    apply(db, account, declare.example())
    other = db.write_now(accounts.INSTALLATION, accounts.create, "Other", "o@example.com").account_id
    for table in (
        '[[subscribers]]\nid = 1579118532\nemail = "x@example.com"',
        '[[broadcasts]]\nid = 8697158\nsubject = "x"',
        '[[webhooks]]\nid = 1175937\ntarget_url = "https://example.com"\nevent = "purchase_create"',
    ):
        with pytest.raises(declare.Refused, match=r"line 2: the id [0-9]+ belongs to another account"):
            apply(db, other, table)
    assert recount.differences(db) == []


def test_what_has_been_sent_is_not_written_anew(db: Database, account: int) -> None:
    apply(db, account, declare.example())
    with pytest.raises(declare.Refused, match="the broadcast 8697158 has been sent and cannot be changed"):
        apply(db, account, '[[broadcasts]]\nid = 8697158\nsubject = "Goodbye"')
    with pytest.raises(declare.Refused, match="only a new one can be completed"):
        apply(db, account, '[[broadcasts]]\nid = 8697159\nsubject = "News"\nstatus = "completed"')


def test_a_mistake_at_the_end_leaves_nothing_of_the_beginning(db: Database, account: int) -> None:
    before = everything(db)
    text = declare.example() + '\n[[subscribers]]\nemail = "last@example.com"\ntags = ["nobody has it"]\n'
    line = text.count("\n")
    with pytest.raises(declare.Refused) as refused:
        apply(db, account, text)
    said = f'file.toml, line {line}: tags names "nobody has it", but the account has no tag of this name'
    assert str(refused.value) == said
    assert everything(db) == before


def test_what_was_done_is_said_in_lines(db: Database, account: int) -> None:
    said: list[str] = []
    declare.apply_text(db, account, '[[tags]]\nname = "a"\n[[tags]]\nname = "b"', said.append)
    declare.apply_text(db, account, '[[tags]]\nname = "a"\n[[tags]]\nname = "C"', said.append)
    assert said == ["tags: 2 made", "tags: 1 left as it is, 1 made"]


def test_snippets_are_made_changed_and_refused_with_their_line(db: Database, account: int) -> None:
    text = '[[snippets]]\nname = "sign"\ncontent = "Yours, {{ subscriber.first_name }}"\n'
    assert apply(db, account, text).counts == {"snippets": {"made": 1}}
    assert apply(db, account, text).counts == {"snippets": {"left": 1}}
    assert apply(db, account, text.replace("Yours", "Ever")).counts == {"snippets": {"changed": 1}}
    held = db.read_now(account, snippets.all_snippets)
    assert held["sign"].content == "Ever, {{ subscriber.first_name }}"
    with pytest.raises(declare.Refused, match=r"line 1: \[\[snippets\]\]: .*cannot be read"):
        apply(db, account, text.replace("{{ subscriber.first_name }}", "{% if %}"))
