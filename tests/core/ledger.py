"""The ledger as tests handle it: a worker that claims, hands and settles step by step."""

import itertools
from collections import Counter

from tests.core.cast import Owner, join, rows
from tests.core.recount import recount
from tidings.core import accounts, broadcasts, deliveries, sending, signup, subscribers
from tidings.core.accounts import INSTALLATION
from tidings.core.broadcasts import Broadcast, Draft, course
from tidings.core.deliveries import Delivery, Outcome, Source, Timing
from tidings.core.events import Origin
from tidings.core.signup import Also
from tidings.store.db import Database
from tidings.store.tx import Tx

TIMING = Timing()
LEASES = itertools.count(1)
FINAL = ("sent", "failed", "uncertain", "suppressed")


def people(db: Database, owner: Owner, n: int, start: int = 0) -> list[int]:
    """Sign up so many active people in one verb; return their ids."""

    def sign_up(tx: Tx) -> list[int]:
        found = []
        for at in range(start, start + n):
            person = subscribers.person(f"p{at}.{owner.id}@example.com")
            _, who = signup.sign_up(tx, "form", owner.plain, person, Also(), Origin("api"))
            found.append(who.id)
        return found

    return db.write_now(owner.id, sign_up)


def draft(db: Database, owner: Owner, send_at: int | None = None, **words: str) -> int:
    """Write a broadcast that lacks nothing; return its id."""
    db.write_now(owner.id, accounts.describe, postal_address="1 Main Street, Bern")
    written = Draft(
        **{"subject": "Hello", "content": "<p>Hello</p>", **words},  # type: ignore[arg-type]
        send_at=send_at,
    )
    return db.write_now(owner.id, broadcasts.create, written, "ada@example.com").id


def begin(db: Database, owner: Owner, *parts: course.Part) -> int:
    """Start a broadcast to an audience; nobody has a delivery yet."""
    made = draft(db, owner)
    db.write_now(owner.id, course.set_audience, made, parts)
    db.write_now(owner.id, course.schedule, made)
    assert db.write_now(owner.id, sending.start, made, outbox=False)
    return made


def fan_out(db: Database, owner: Owner, made: int, size: int = course.SLICE) -> None:
    """Give everybody in the audience their delivery."""
    while db.write_now(owner.id, course.fan_out, made, size):
        pass


def started(db: Database, owner: Owner, *parts: course.Part) -> int:
    """Start a broadcast whose deliveries all are queued."""
    made = begin(db, owner, *parts)
    fan_out(db, owner, made)
    return made


def fill(db: Database, owner: Owner, n: int) -> int:
    """Make so many people and a broadcast that all have queued, by plain SQL; return its id.

    Counters of people are not kept: nothing that recounts them can follow.
    """
    made = begin(db, owner)

    def insert(tx: Tx) -> None:
        numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :n)"
        tx.run(
            f"{numbers} INSERT INTO subscribers (account_id, email, email_key, state, fields, created_at,"  # noqa: S608
            " updated_at) SELECT :account_id, 'f' || i || '@example.com', 'f' || i || '@example.com',"
            " 'active', '{}', :now, :now FROM n",
            n=n,
            account_id=owner.id,
            now=tx.now,
        )
        tx.run(
            "INSERT INTO deliveries (account_id, occasion, subscriber_id, broadcast_id, lane, state,"
            " attempts, due_at, created_at) SELECT :account_id, :occasion, id, :made, 'bulk', 'queued', 0,"
            " :now, :now FROM subscribers WHERE account_id = :account_id AND email_key LIKE 'f%'",
            account_id=owner.id,
            occasion=f"broadcast:{made}",
            made=made,
            now=tx.now,
        )
        broadcasts.count(tx, made, recipients=n)

    db.write_now(owner.id, insert)
    return made


def claim(
    db: Database,
    *given: Source,
    lane: str = "bulk",
    limit: int = 32,
    alone: bool = False,
    timing: Timing = TIMING,
) -> list[Delivery]:
    """Claim from these sources, or from all that there are, as a worker does."""
    found = list(given) or db.read_now(INSTALLATION, sending.sources, lane=lane)
    shares = [(one, limit) for one in found]
    return db.write_now(
        INSTALLATION, sending.claim, shares, lane=lane, lease=next(LEASES), alone=alone, timing=timing
    )


def hand(db: Database, claimed: list[Delivery]) -> list[Delivery]:
    """Take the last look at these."""
    return db.write_now(INSTALLATION, sending.hand, claimed)


def settle(db: Database, *outcomes: Outcome, timing: Timing = TIMING) -> None:
    """Write how these tries ended."""
    db.write_now(INSTALLATION, sending.settle, list(outcomes), timing)


def release(db: Database, timing: Timing = TIMING) -> int:
    """Take back what silent workers held."""
    return db.write_now(INSTALLATION, sending.release, timing)


def send(db: Database, *given: Source, lane: str = "bulk", limit: int = 32, alone: bool = False) -> int:
    """Send one batch, all of it taken; return how many."""
    handed = hand(db, claim(db, *given, lane=lane, limit=limit, alone=alone))
    settle(db, *(Outcome(one, "sent", "250 ok") for one in handed))
    return len(handed)


def state(db: Database, one: Delivery | int) -> str:
    """Return the state of a delivery."""
    row_id = one if isinstance(one, int) else one.id
    return str(rows(db, "SELECT state FROM deliveries WHERE id = :id", id=row_id)[0][0])


def reply(db: Database, one: Delivery) -> str:
    """Return what is written beside a delivery's state."""
    return str(rows(db, "SELECT reply FROM deliveries WHERE id = :id", id=one.id)[0][0])


def states(db: Database, made: int | None = None) -> Counter[str]:
    """Count the deliveries of a broadcast, or all, by state."""
    found = rows(
        db,
        "SELECT state FROM deliveries WHERE broadcast_id = :made OR :made = 0",
        made=made or 0,
    )
    return Counter(str(row[0]) for row in found)


def look(db: Database, owner: Owner, made: int) -> Broadcast:
    """Return a broadcast as it stands."""
    return db.read_now(owner.id, broadcasts.find, made)


def waiting(db: Database, owner: Owner, *emails: str) -> None:
    """Let people sign up for a confirmation, which waits in the lane `now`."""
    for email in emails:
        join(db, owner, "form", owner.double, email)


def handed(db: Database) -> list[Delivery]:
    """Claim and hand what is due."""
    found = hand(db, claim(db))
    assert found
    return found


def hold(db: Database, owner: Owner) -> None:
    """Never send again what is in doubt."""
    db.write_now(owner.id, accounts.set_ambiguity, "hold")


def attempts(db: Database, owner: Owner, one: Delivery) -> list[tuple[int, str, str]]:
    """Return number, state and verdict of the tries that did not simply succeed."""
    found = db.read_now(owner.id, deliveries.attempts_of, one.id)
    return [(each.n, each.state, each.verdict) for each in found]


def numbers(db: Database, owner: Owner, made: int) -> dict[str, int]:
    """The numbers of a broadcast that are not zero; they always are those of its deliveries."""
    recount(db)
    one = look(db, owner, made)
    found = {name: getattr(one, name) for name in (*FINAL, "kept", "settled", "recipients")}
    return {name: n for name, n in found.items() if n}
