"""Rests: domains that put our mail off, and until when theirs is left alone.

Five deferrals in a row let a domain rest for five minutes; then one mail is tried, and if it is put
off too the rest is twice as long. What rests is put off at the hand, its try not counted, so the rest
of a broadcast flows past it.
"""

from collections.abc import Iterable, Mapping

import msgspec

from tidings.core.deliveries import Delivery, Outcome
from tidings.store.tx import Rx, Tx

DEFERRALS_MOST = 5
REST_FIRST_MS = 5 * 60_000
REST_MOST_MS = 4 * 3_600_000
# How long the one mail that is tried may take until another one is.
PROBE_MS = 60_000
# Domains that are known at once. All of them are read for every batch, 0.4 ms at worst; whoever signs
# up addresses of a thousand dead domains makes the rest of them merely unknown.
DOMAINS_MOST = 1_000
# As long as a mail that is tried and put off. No mail of the domain was taken in all that time.
GIVE_UP_MS = 4 * 86_400_000
FORGOTTEN_MS = 3_600_000
FORGOTTEN_REST_MS = 24 * 3_600_000


class Rest(msgspec.Struct, frozen=True):
    """What is known of a domain: it has put us off since a time, `rest_ms` is 0 while too seldom to rest."""

    domain: str
    deferrals: int
    rest_ms: int
    until_at: int
    probed_at: int | None
    since_at: int


_COLUMNS = ", ".join(Rest.__struct_fields__)


def resting(rx: Rx) -> dict[str, Rest]:
    """Return every domain that has put us off of late, by its name."""
    rows = rx.all(
        f"SELECT {_COLUMNS} FROM domain_rests WHERE account_id = 0 LIMIT :limit",  # noqa: S608 (constants)
        limit=DOMAINS_MOST,
    )
    return {row[0]: Rest(*row) for row in rows}


def put_off(
    tx: Tx, given: Iterable[tuple[Delivery, str]], rests: Mapping[str, Rest]
) -> tuple[list[Delivery], list[Outcome]]:
    """Divide claimed mail, each with its recipient's domain, into what may go and what rests.

    `rests` is what `resting` says in the same transaction. Where a rest has ended, one mail goes. What
    a domain has kept waiting for four days is given up.
    """
    going: list[Delivery] = []
    put: list[Outcome] = []
    tried: dict[str, int] = {}
    for one, domain in given:
        rest = rests.get(domain)
        if rest is None or not rest.rest_ms:
            going.append(one)
            continue
        if domain not in tried:
            # A clock that was set back lets nobody rest longer.
            tried[domain] = min(rest.until_at, tx.now + REST_MOST_MS)
            if rest.until_at <= tx.now:
                tried[domain] = tx.now + PROBE_MS
                if _probe(tx, rest):
                    going.append(one)
                    continue
        put.append(_later(one, rest, tried[domain]))
    return going, put


def learn(tx: Tx, answered: Iterable[str], deferred: Mapping[str, int]) -> None:
    """Note which domains took or finally refused a mail, and how often others put one off.

    One that answered is known no more; deferrals while a domain rests say nothing new.
    """
    for domain in sorted(answered):
        tx.run("DELETE FROM domain_rests WHERE account_id = 0 AND domain = :domain", domain=domain)
    for domain, n in sorted(deferred.items()):
        row = tx.one(
            f"SELECT {_COLUMNS} FROM domain_rests WHERE account_id = 0"  # noqa: S608 (constants)
            " AND domain = :domain {for_update}",
            domain=domain,
        )
        if row is None and not _room(tx):
            continue
        known = Rest(*row) if row else Rest(domain, 0, 0, 0, None, tx.now)
        _write(tx, _after(known, n, tx.now))


def sweep(tx: Tx) -> int:
    """Forget domains of which nothing was heard for an hour, or for a day since their rest."""
    return tx.run(
        "DELETE FROM domain_rests WHERE account_id = 0 AND seen_at < :since"
        " AND (rest_ms = 0 OR until_at < :rested)",
        since=tx.now - FORGOTTEN_MS,
        rested=tx.now - FORGOTTEN_REST_MS,
    )


def _probe(tx: Tx, rest: Rest) -> bool:
    """Let one mail go to a domain whose rest has ended; False when another process does."""
    names = {"domain": rest.domain, "now": tx.now}
    free = tx.one(
        "SELECT domain FROM domain_rests WHERE account_id = 0 AND domain = :domain AND until_at <= :now"
        " {skip_locked}",
        **names,
    )
    if free is None:
        return False
    tx.run(
        "UPDATE domain_rests SET probed_at = :now, until_at = :until WHERE account_id = 0"
        " AND domain = :domain",
        until=tx.now + PROBE_MS,
        **names,
    )
    return True


def _later(one: Delivery, rest: Rest, until_at: int) -> Outcome:
    if until_at - max(rest.since_at, one.created_at) > GIVE_UP_MS:
        return Outcome(one, "failed", f"given up: {rest.domain} has put our mail off for four days")
    said = f"not tried: {rest.domain} puts our mail off, so all of it rests for a while"
    return Outcome(one, "deferred", said, until_at, untried=True)


def _after(known: Rest, n: int, now: int) -> Rest:
    """Return what is known of a domain after it has put off `n` more mails."""
    rest_ms = known.rest_ms
    if rest_ms and known.probed_at is None and known.until_at > now:
        return known
    if rest_ms:
        rest_ms = min(rest_ms * 2, REST_MOST_MS)
    elif known.deferrals + n >= DEFERRALS_MOST:
        rest_ms = REST_FIRST_MS
    since_at = min(known.since_at, now)
    return Rest(known.domain, known.deferrals + n, rest_ms, now + rest_ms, None, since_at)


def _write(tx: Tx, rest: Rest) -> None:
    tx.run(
        "INSERT INTO domain_rests (account_id, domain, deferrals, rest_ms, until_at, probed_at, since_at,"
        " seen_at) VALUES (0, :domain, :deferrals, :rest_ms, :until_at, CAST(:probed_at AS BIGINT),"
        " :since_at, :now)"
        " ON CONFLICT (account_id, domain) DO UPDATE SET deferrals = excluded.deferrals,"
        " rest_ms = excluded.rest_ms, until_at = excluded.until_at, probed_at = excluded.probed_at,"
        " since_at = excluded.since_at, seen_at = excluded.seen_at",
        now=tx.now,
        **msgspec.structs.asdict(rest),
    )


def _room(tx: Tx) -> bool:
    """Whether one more domain may be known; one that does not rest makes room."""
    row = tx.one("SELECT COUNT(*) FROM domain_rests WHERE account_id = 0")
    if row is None or row[0] < DOMAINS_MOST:
        return True
    return bool(
        tx.run(
            "DELETE FROM domain_rests WHERE account_id = 0 AND domain = (SELECT domain FROM domain_rests"
            " WHERE account_id = 0 AND rest_ms = 0 ORDER BY seen_at, domain LIMIT 1)"
        )
    )
