"""The line of mail: from the row that a sign-up queues to the message that a person reads."""

import asyncio
import email
import email.policy
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.core.cast import API, HOUR, Cast, Clock, Owner, join, names, rows
from tests.core.ledger import TIMING, release, waiting
from tests.core.recount import recount
from tidings import tokens
from tidings.app.providers import OutboxProvider
from tidings.core import accounts, confirmations, forms, outbox, signup
from tidings.core.deliveries import Letter, Outcome
from tidings.core.events import Origin
from tidings.core.forms import FormSettings
from tidings.engine.desk import Desk
from tidings.engine.sender import CHUNK, Send, Sender
from tidings.store.db import Database
from tidings.tokens import Links

LINKS = Links("https://news.example", b"k" * 32)
LINK = Origin("link")


class Provider:
    """Keeps what it is handed and answers as it is told."""

    def __init__(
        self, answer: Callable[[Letter], Outcome] = lambda one: Outcome(one.delivery, "sent")
    ) -> None:
        self.answer = answer
        self.letters: list[Letter] = []
        self.batches: list[int] = []

    async def send(self, letters: Sequence[Letter]) -> list[Outcome]:
        self.letters += letters
        self.batches.append(len(letters))
        return [self.answer(one) for one in letters]

    def to(self, address: str) -> list[Letter]:
        return [one for one in self.letters if one.rcpt_to == address]


def run(db: Database, send: Send, *, lane: str = "now", width: int = 1) -> int:
    """Let a worker work until nothing is due; return how many mails were on the wire."""

    async def until_done() -> int:
        desk, total = Desk(db, LINKS), 0
        sender = Sender(db, desk, send, timing=TIMING, lane=lane, width=width)
        try:
            while did := await sender.step():
                total += did
                assert total < 1_000
        finally:
            await sender.close()
            await desk.close()
        return total

    return asyncio.run(until_done())


def states(db: Database) -> dict[str, int]:
    found = rows(db, "SELECT state, COUNT(*) FROM deliveries GROUP BY state")
    return {str(state): int(str(n)) for state, n in found}


def test_a_sign_up_becomes_a_mail_whose_link_confirms(db: Database, cast: Cast, clock: Clock) -> None:
    ada = cast.ada
    joined, who = join(db, ada, "form", ada.double, "nia@example.com", "Nia")
    clock.move(HOUR)
    assert run(db, OutboxProvider(db).send) == 2
    assert states(db) == {"sent": 2}
    kept = db.read_now(ada.id, outbox.newest)
    assert [(one.recipient, one.subject) for one in kept] == [
        ("nia@example.com", "Please confirm your subscription"),
        ("cal@example.com", "Please confirm your subscription"),
    ]
    raw = db.read_now(ada.id, outbox.raw, kept[0].id)
    assert raw is not None
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert message["To"] == "Nia <nia@example.com>"
    assert "ada@example.com" in message["From"]
    assert message["Auto-Submitted"] == "auto-generated"
    parts = {
        part.get_content_type(): part.get_content() for part in message.walk() if not part.is_multipart()
    }
    assert "Hello Nia," in parts["text/plain"]
    assert "Hello Nia," in parts["text/html"]
    start = parts["text/plain"].index("https://news.example/confirm/")
    url = parts["text/plain"][start:].split()[0]
    assert url in parts["text/html"]
    claim = tokens.read(LINKS.key, confirmations.PURPOSE, url.rpartition("/")[2])
    assert claim is not None
    assert (claim.account_id, claim.subject_id) == (ada.id, joined.id)
    _, confirmed = db.write_now(
        claim.account_id, confirmations.confirm, claim.subject_id, claim.made_at, LINK
    )
    assert (confirmed.id, confirmed.state) == (who.id, "active")
    assert names(db, ada, who.id) == ["form_subscribe", "subscriber_activate"]
    assert run(db, OutboxProvider(db).send) == 0
    recount(db)


def test_nothing_due_costs_no_write(db: Database, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = Provider()
    run(db, provider.send)

    async def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("an idle sender wrote")

    monkeypatch.setattr(db, "write", refuse)
    assert run(db, provider.send) == 0
    assert len(provider.letters) == 1


def test_many_are_sent_in_batches_and_each_once(db: Database, cast: Cast) -> None:
    waiting(db, cast.eve, *(f"p{n}@example.com" for n in range(2 * CHUNK + 5)))
    provider = Provider()
    run(db, provider.send)
    assert len(provider.letters) == len({one.rcpt_to for one in provider.letters}) == 2 * CHUNK + 6
    assert max(provider.batches) <= CHUNK
    assert states(db) == {"sent": 2 * CHUNK + 6}


def test_who_has_answered_or_left_meanwhile_gets_nothing(db: Database, cast: Cast) -> None:
    eve = cast.eve
    join(db, eve, "form", eve.double, "left@example.com")
    join(db, eve, "form", eve.double, "sure@example.com")
    db.write_now(eve.id, signup.unsubscribe, "left@example.com", API)
    join(db, eve, "form", eve.plain, "sure@example.com")
    provider = Provider()
    run(db, provider.send)
    assert [one.rcpt_to for one in provider.letters] == ["cal@example.com"]
    assert states(db) == {"sent": 1, "suppressed": 2}


def test_a_mail_that_cannot_be_composed_fails_alone(db: Database, cast: Cast) -> None:
    eve = cast.eve
    broken = FormSettings(name="Broken", confirmation_html="{% if x %}<p>never closed")
    form_id = db.write_now(eve.id, forms.create, broken)
    endless = FormSettings(
        name="Endless",
        confirmation_html="{% for a in (1..9999999) %}{% for b in (1..9999999) %}x{% endfor %}{% endfor %}",
    )
    endless_id = db.write_now(eve.id, forms.create, endless)
    _, first = join(db, eve, "form", form_id, "broken@example.com")
    _, second = join(db, eve, "form", endless_id, "endless@example.com")
    join(db, eve, "form", eve.double, "fine@example.com")
    provider = Provider()
    run(db, provider.send)
    assert sorted(one.rcpt_to for one in provider.letters) == ["cal@example.com", "fine@example.com"]
    assert states(db) == {"sent": 2, "failed": 2}
    for who in (first, second):
        reply = rows(db, "SELECT reply FROM deliveries WHERE subscriber_id = :id", id=who.id)[0][0]
        assert reply


def test_an_owners_words_greet_and_always_hold_the_link(db: Database, cast: Cast) -> None:
    eve = cast.eve
    words = FormSettings(
        name="Own words",
        confirmation_subject="{{ subscriber.first_name }}, sure?",
        confirmation_html="<p>Dear {{ subscriber.first_name }} of {{ subscriber.city }}</p>",
    )
    form_id = db.write_now(eve.id, forms.create, words)
    join(db, eve, "form", form_id, "x@example.com", "<b>Zoë</b>", fields={"city": "Bern & Basel"})
    provider = Provider()
    run(db, provider.send)
    letter = provider.to("x@example.com")[0]
    assert letter.subject == "<b>Zoë</b>, sure?"
    message = email.message_from_bytes(letter.data, policy=email.policy.default)
    parts = {
        part.get_content_type(): part.get_content() for part in message.walk() if not part.is_multipart()
    }
    assert "Dear &lt;b&gt;Zoë&lt;/b&gt; of Bern &amp; Basel" in parts["text/html"]
    assert "https://news.example/confirm/" in parts["text/html"]
    assert "https://news.example/confirm/" in parts["text/plain"]


def test_a_deferred_mail_is_tried_again_when_it_is_due(db: Database, cast: Cast, clock: Clock) -> None:
    answers = iter(("deferred", "sent"))
    at = clock.now + HOUR
    provider = Provider(lambda one: Outcome(one.delivery, next(answers), "451 later", at))
    assert run(db, provider.send) == 1
    assert run(db, provider.send) == 0
    clock.move(HOUR)
    assert run(db, provider.send) == 1
    assert states(db) == {"sent": 1}
    first, second = provider.letters
    # The same message at every attempt: whoever gets it twice sees one mail.
    assert first.data == second.data


def test_a_provider_that_breaks_down_leaves_its_mail_to_the_next(
    db: Database, cast: Cast, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async def break_down(_: Sequence[Letter]) -> list[Outcome]:
        raise OSError("the cable")

    run(db, break_down)
    assert "the cable" in caplog.text
    assert states(db) == {"handed": 1}
    provider = Provider()
    assert run(db, provider.send) == 0
    clock.move(TIMING.lease_ms)
    assert release(db) == 1
    # Nobody knows what the provider did with it: an open may still prove that it arrived.
    assert states(db) == {"deferred": 1}
    assert run(db, provider.send) == 0
    clock.move(TIMING.uncertain_ms)
    run(db, provider.send)
    assert [one.rcpt_to for one in provider.letters] == ["cal@example.com"]
    assert states(db) == {"sent": 1}


def test_a_sender_killed_between_claim_and_hand_leaves_nothing_behind(
    db: Database, cast: Cast, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    provider = Provider()
    with monkeypatch.context() as planted:
        planted.setattr(Desk, "letters", killed)
        with pytest.raises(KeyboardInterrupt):
            run(db, provider.send)
    assert states(db) == {"claimed": 1}
    clock.move(TIMING.lease_ms)
    assert release(db) == 1
    run(db, provider.send)
    assert len(provider.letters) == 1
    assert states(db) == {"sent": 1}


def test_an_unknown_occasion_fails_and_does_not_stop_the_rest(db: Database, cast: Cast) -> None:
    from_nowhere = "confirm:4611686018427387904:1"
    db.write_now(
        cast.ada.id,
        lambda tx: tx.run(
            "UPDATE deliveries SET occasion = :occasion WHERE subscriber_id = :id",
            occasion=from_nowhere,
            id=cast.cal,
        ),
    )
    join(db, cast.eve, "form", cast.eve.double, "fine@example.com")
    provider = Provider()
    run(db, provider.send)
    assert [one.rcpt_to for one in provider.letters] == ["fine@example.com"]
    assert states(db) == {"failed": 1, "sent": 1}


def test_an_owner_without_a_name_still_signs_with_an_address(db: Database, ada: Owner) -> None:
    db.write_now(ada.id, accounts.describe, name="")
    provider = Provider()
    run(db, provider.send)
    assert b"hear from ada@example.com" in provider.letters[0].data.replace(b"=\r\n", b"")
