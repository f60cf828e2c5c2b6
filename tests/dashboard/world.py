"""Two accounts filled with one of everything that a page can show, by the verbs and loops that ship.

`say` gives every text that a stranger, a client or an owner can fill, by the name of its field: plain
words for most tests, payloads for those about stored scripts. A new noun is added to `Filling`.
"""

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.core.cast import DAY, HOUR
from tests.dashboard.engines import SLOW, Engines
from tests.web.doors import BASE, KEY, START_MS, Rooms
from tidings.core import (
    accounts,
    audit,
    backups,
    bulk,
    erasure,
    importing,
    signing,
    signup,
    snippets,
    subscribers,
    subscriptions,
    suppressions,
    tags,
    tracking,
    trials,
    uploads,
    users,
    webhooks,
)
from tidings.core import automations as rules
from tidings.core import broadcasts as letters
from tidings.core import custom_fields as fields
from tidings.core import forms as forms_
from tidings.core import purchases as sales
from tidings.core import sequences as series
from tidings.core.audit import Actor
from tidings.core.automations import Action, Condition, Trigger, Wish
from tidings.core.broadcasts import Draft, course
from tidings.core.bulk import Chosen
from tidings.core.events import Origin
from tidings.core.importing import Incoming, Slice, Wishes
from tidings.core.sequences import SequenceEmail
from tidings.core.signup import Also
from tidings.core.tracking import Hit
from tidings.core.users import proofs, sessions
from tidings.mail import address, dkim
from tidings.moving.people import packed
from tidings.store import migrate
from tidings.store.db import Database
from tidings.store.tx import Tx
from tidings.tokens import Links
from tidings.web.house import House

Say = Callable[[str], str]
PEOPLE = 12
ID_STEP = 7_130_000
LETTER = (
    "<p>Hello {{ subscriber.first_name | default: 'you' }}, "
    '<a href="https://example.com/read">read on</a>. SAID</p>'
)


def plain(name: str) -> str:
    """Return harmless words for a field."""
    return f"A {name}"


@dataclass
class Account:
    """One account: its users' sessions by role, and ids that forms name."""

    id: int
    secrets: dict[str, str] = field(default_factory=dict)


@dataclass
class Template:
    """A filled database that tests copy."""

    path: Path
    ada: Account
    eve: Account

    def copied(self, folder: Path) -> "World":
        """Return a world of its own."""
        shutil.copyfile(self.path, folder / "tidings.db")
        return World(folder, self.ada, self.eve)


class World(Rooms):
    """A house over a filled database, its clock standing a little after all that happened."""

    def __init__(self, folder: Path, ada: Account, eve: Account, *, base: str = BASE) -> None:
        self.now = START_MS + 3 * DAY
        self.folder = folder
        self.db = Database(f"sqlite:///{folder}/tidings.db", clock=lambda: self.now, pepper=KEY)
        self.account_id, self.ada, self.eve = ada.id, ada, eve
        self.house = House(self.db, Links(base, KEY), 0, sends_nothing=False)

    @classmethod
    def of(cls, db: Database, ada: Account, eve: Account) -> "World":
        """Return a world over an open database."""
        made = cls.__new__(cls)
        made.db, made.account_id, made.ada, made.eve, made.now = db, ada.id, ada, eve, db.clock()
        made.house = House(db, Links(BASE, KEY), 0, sends_nothing=False)
        return made


def fill(folder: Path, say: Say = plain, people: int = PEOPLE) -> Template:
    """Fill a fresh database for Ada and for Eve."""
    folder.mkdir(parents=True, exist_ok=True)
    now = [START_MS]
    db = Database(f"sqlite:///{folder}/filled.db", clock=lambda: now[0], pepper=KEY)
    try:
        migrate.migrate(db)
        db.write_now(0, _spread_ids)
        # Eve's come first, so that no id of hers is one of Ada's by chance.
        eve = Filling(db, now, "Eve", say, people).all()
        now[0] = START_MS
        ada = Filling(db, now, "Ada", say, people).all()
    finally:
        db.close()
    return Template(folder / "filled.db", ada, eve)


def _spread_ids(tx: Tx) -> None:
    """Let the ids of each table begin at a large number of its own: none is another's by chance."""
    tables = tx.all(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE '%AUTOINCREMENT%' ORDER BY name"
    )
    for at, (name,) in enumerate(tables, 1):
        tx.run("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :seq)", name=name, seq=at * ID_STEP)


class Filling:
    """Fills one account."""

    def __init__(
        self,
        db: Database,
        now: list[int],
        name: str,
        say: Say = plain,
        people: int = PEOPLE,
        pace_ms: int = 0,
        account_id: int | None = None,
    ) -> None:
        self.db, self.now, self.name, self.say = db, now, name, say
        self.people, self.pace_ms = people, pace_ms
        if account_id is None:
            named = f"{name}: {say('account')}"[:100]
            made = db.write_now(0, accounts.create, named, f"{name.lower()}@example.com")
            account_id = made.account_id
        self.account = Account(account_id)
        self.engines = Engines(db, say)

    def do(self, verb: Any, *args: Any, **options: Any) -> Any:
        return self.db.write_now(self.account.id, verb, *args, **options)

    def all(self) -> Account:
        """Fill all of it, in the order in which things need each other."""
        self.do(accounts.describe, postal_address="1 Main Street\nBern")
        self.users()
        self.things()
        self.automatic()
        self.signed_up()
        self.engines.run()
        self.written()
        self.now[0] += HOUR
        self.engines.run()
        # Later than any machine that looks through mail as it arrives.
        self.now[0] += 5 * HOUR
        self.read_and_left()
        self.moved()
        self.uploaded()
        self.tried()
        self.now[0] += DAY
        self.engines.run()
        return self.account

    def users(self) -> None:
        """One user of each role, with sessions; one who was dismissed, and one whose session ended."""
        say, low = self.say, self.name.lower()
        agent = {"agent": say("user agent"), "address": "192.0.2.0/24"}
        owner = self.do(users.owner_of).id
        ids = {"owner": owner}
        for role in ("editor", "viewer", "dismissed"):
            kind = "owner" if role == "dismissed" else role
            ids[role] = self.do(users.admit, f"{role}.{low}@example.com", kind, name=say("user")[:100]).id
        for role, user_id in ids.items():
            self.account.secrets[role] = self.do(sessions.begin, user_id, **agent)
        self.account.secrets["ended"] = self.do(sessions.begin, owner, **agent)
        self.do(sessions.sign_out, self.account.secrets["ended"])
        self.do(users.dismiss, ids["dismissed"])
        self.do(sessions.begin, owner, **agent)
        self.do(proofs.set_password, ids["editor"], "no hash of a password")
        self.do(sessions.link, owner)
        for act in ("broadcast.send", "tag.create"):
            self.do(audit.note, Actor(owner, f"{low}@example.com", "192.0.2.0/24"), act, say("audit subject"))

    def things(self) -> None:
        """Tags, fields, forms, sequences, snippets."""
        say = self.say
        made = self.do(tags.create, [say("tag")[:100], f"vip {self.name}", f"third {self.name}"])
        self.tags = [one.id for one in made]
        self.do(tags.set_public, self.tags[1], public=True)
        self.fields = [one.id for one in self.do(fields.create, [say("custom field")[:100], "Town"])]
        words = {
            name: say(name) for name in ("title", "description", "sign_up_button_text", "success_message")
        }
        make = forms_.FormSettings
        self.double = self.do(forms_.create, make(name=say("form")[:100], **words))  # type: ignore[arg-type]
        self.plain = self.do(forms_.create, make(name="Plain", confirmation="none"))
        self.do(forms_.create, make(name="Old", archived_at=self.now[0]))
        self.sequence = self.do(series.create, say("sequence")[:100])
        emails = [
            SequenceEmail(
                say("subject"), LETTER.replace("SAID", say("sequence HTML")), 0, preheader=say("preheader")
            ),
            SequenceEmail("Second", "<p>Again</p>", DAY, text=say("sequence text")),
            SequenceEmail("Third", "<p>Not yet</p>", DAY, published=False),
        ]
        self.do(series.set_emails, self.sequence, emails)
        self.do(series.set_public, self.sequence, public=True)
        self.do(series.create, "Empty")
        self.do(snippets.put, "signature", f"<p>{say('snippet')}</p>")

    def automatic(self) -> None:
        """Webhooks and rules, one of each that is off."""
        tag = {"subject": "tag_id", "subject_id": self.tags[0]}
        self.do(webhooks.create, "tag_add", "https://hooks.example.com/in?a=%22%3E%3Cscript%3E", **tag)
        off = self.do(webhooks.create, "subscriber_activate", "https://gone.example.com/")
        self.do(webhooks.disable, off.id, self.say("why disabled"))
        when = Trigger("tag_add", self.tags[0])
        acts = (
            Action("add_tag", self.tags[1]),
            Action("send_email", subject=self.say("rule subject"), html=f"<p>{self.say('rule HTML')}</p>"),
            Action("post", value="https://hooks.example.com/rule"),
        )
        only = (Condition("state", value="active"),)
        self.do(rules.create, Wish(self.say("rule")[:100], when, only, acts))
        self.do(rules.create, Wish("Off", Trigger("form_subscribe", self.plain), (), acts[:1]), enabled=False)

    def signed_up(self) -> None:
        """People in every state, with a purchase."""
        low, say = self.name.lower(), self.say
        origin = Origin(
            door="form", address="203.0.113.7", source=self.say("source"), referrer=self.say("referrer")
        )
        who: list[Any] = []
        for n in range(self.people):
            kind, ref = [("form", self.plain), ("tag", self.tags[0]), ("sequence", self.sequence)][n % 3]
            email = f"p{n}.{low}@example.com" if n else _mailbox(self.say("local part"), f"{low}.example")
            values = {fields_key(self.say("custom field")): self.say("field value"), "town": "Bern"}
            person = subscribers.person(email, self.say("first name")[:100], values)
            also = Also(tags=self.tags[: n % 3], sequences=[self.sequence] if n % 4 == 0 else [])
            who.append(self.do(signup.sign_up, kind, ref, person, also, origin)[1])
            self.now[0] += self.pace_ms
        waits = subscribers.person(f"waits.{low}@example.com", "Cal")
        self.do(signup.sign_up, "form", self.double, waits, Also(), origin)
        self.do(subscriptions.turn, who[-1], "bounced")
        self.do(subscriptions.turn, who[-2], "complained")
        order = sales.Order(
            transaction_id=say("transaction"), email=f"p1.{low}@example.com", total="21.0",
            integration=say("integration"),
            products=[{"pid": "1", "lid": "1", "name": say("product"), "unit_price": "21", "quantity": 1}],
        )  # fmt: skip
        self.do(sales.record, order, origin)

    def written(self) -> None:
        """Broadcasts: one sent, one being sent, one that waits, one paused, a draft."""
        say = self.say

        def draft(subject: str, **more: Any) -> Any:
            body = Draft(
                subject=subject, content=_letter(say("broadcast HTML")), preheader=say("preheader"),
                description=say("description"), **more,
            )  # fmt: skip
            return self.do(letters.create, body, "ada@example.com")

        everybody = [("form", self.plain), ("tag", self.tags[0]), ("sequence", self.sequence)]
        for subject in (say("subject"), SLOW):
            made = draft(subject).id
            self.do(course.set_audience, made, [course.Part(*one) for one in everybody])
            self.do(course.schedule, made)
        waiting = draft("Waits", send_at=self.now[0] + 30 * DAY)
        parts = [course.Part("tag", self.tags[1]), course.Part("form", self.double, excluded=True)]
        self.do(course.set_audience, waiting.id, parts)
        paused = draft("Paused", send_at=self.now[0] + 40 * DAY)
        self.do(course.pause, paused.id, say("why paused"))
        draft("Draft: " + say("subject"))

    def read_and_left(self) -> None:
        """Opens, clicks and an unsubscribe by the link of the sent broadcast."""
        rows = self._rows(
            "SELECT id, subscriber_id, broadcast_id FROM deliveries WHERE account_id = :a AND state = 'sent'"
            " AND broadcast_id = (SELECT MIN(broadcast_id) FROM deliveries WHERE account_id = :a) ORDER BY id"
        )
        links = self._rows(
            "SELECT id FROM links WHERE account_id = :a AND owner LIKE 'broadcast:%' ORDER BY id LIMIT 1"
        )
        link = self.db.read_now(self.account.id, tracking.link, links[0][0]) if links else None
        agent = self.say("agent")
        for at, (delivery, subscriber, _) in enumerate(rows[:5]):
            hits = [Hit(delivery, subscriber, self.now[0], agent=agent, address="203.0.113.0/24")]
            if link and at < 2:
                hits.append(Hit(delivery, subscriber, self.now[0], link, agent=agent))
            self.do(tracking.record, hits)
        leaving = self.db.read_now(self.account.id, subscribers.get, rows[-1][1])
        self.do(subscriptions.unsubscribe, leaving, Origin(door="link"))

    def moved(self) -> None:
        """An import with a rejected row, a suppressed mailbox, a person who was erased."""
        say, low = self.say, self.name.lower()
        mailbox = address.parse(f"held.{low}@example.com").mailbox
        self.do(suppressions.add, mailbox, "erased")
        begun = self.do(importing.begin, say("file name"), f"digest {self.name}", "{}")
        people = [self._incoming(n, f"i{n}.{low}@example.com") for n in (1, 2)]
        self.do(
            importing.take,
            begun.id,
            begun.place,
            Slice(people, [0, 0], [[("tag", self.tags[2])]], 3, rejected=1),
        )
        self.do(importing.finish, begun.id)
        gone = subscribers.person(f"gone.{low}@example.com", "Gone")
        erased = self.do(signup.sign_up, "form", self.plain, gone, Also(), Origin(door="api"))[1]
        self.do(erasure.erase, erased.id, Origin(door="dashboard"))
        asked = {"asked_by": f"{low}@example.com", "tag_id": self.tags[2]}
        for text in ("p1", "p2"):
            self.do(bulk.ask, "tag", Chosen(text=text), expected=3, **asked)

    def uploaded(self) -> None:
        """Files of people: one brought in with a record refused, one counted, one looked at."""
        say = self.say
        columns = f'Email,First Name,"{say("column").replace(chr(34), "")}"\n'
        for name, until in (("done", 3), ("counted", 2), ("read", 1)):
            made = self.do(uploads.begin, f"{name} {say('file name')}.csv")
            people = f"{name}.{self.name.lower()}@example.com,Bea,Bern\nwrong {say('record')},=X,\n"
            body = (columns + people).encode()
            self.do(uploads.keep, made, 0, len(body), body)
            self.do(uploads.arrive, made)
            self.engines.look_at_files()
            if until > 1:
                self.do(uploads.ask, made, Wishes())
                self.engines.look_at_files()
            if until > 2:
                self.do(uploads.start, made, consent=say("consent"), by=say("user"))
                self.engines.look_at_files()

    def tried(self) -> None:
        """Test mails of a draft, of a sequence's email and of a form; a signing key; a backup asked for."""
        draft = self._rows("SELECT MIN(id) FROM broadcasts WHERE account_id = :a AND status = 'draft'")
        email = self._rows("SELECT MIN(id) FROM sequence_emails WHERE account_id = :a")
        to = [f"test.{self.name.lower()}@example.com"]
        self.do(trials.ask, draft[0][0], to)
        self.do(trials.ask_of_email, email[0][0], to)
        self.do(trials.ask_of_form, self.double, to)
        self.do(
            signing.create,
            Links(BASE, KEY),
            f"{self.name.lower()}.example.com",
            "t1",
            dkim.make_key("ed25519"),
        )
        self.do(backups.ask, self.say("user"))

    def _incoming(self, record: int, email: str) -> Incoming:
        who = address.parse(email)
        name, fields = self.say("first name")[:100], {str(self.fields[1]): self.say("field value")}
        return Incoming(
            record, record + 1, who.email, who.key, who.mailbox, name, "active", packed(fields), self.now[0],
            self.now[0], importing.said(who.email, name, "active", self.now[0], {}),
            importing.cause(record + 1, proof=self.say("proof"), referrer=self.say("referrer")),
        )  # fmt: skip

    def _rows(self, sql: str) -> Sequence[tuple[Any, ...]]:
        return self.db.read_now(self.account.id, lambda rx: rx.all(sql, a=self.account.id))


def _letter(said: str) -> str:
    return LETTER.replace("SAID", said)


def fields_key(label: str) -> str:
    """Return by which key a custom field's values are given."""
    return fields.key_of(label[:100])


def _mailbox(local: str, domain: str) -> str:
    """Return an address with as much of such a local part as an address may hold (RFC 5322, atext)."""
    return f"{re.sub(r'[^A-Za-z0-9`=$/{}]', '', local)[:60]}@{domain}"
