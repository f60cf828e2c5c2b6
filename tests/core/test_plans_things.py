"""What the pages of forms, tags and sequences ask goes by an index, on both databases, among 20,000 rows."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.core.cast import Cast, Clock
from tests.core.test_plans import Recording, plan, whole_reads
from tidings.core import counters, entries, subscriptions, tags
from tidings.core.sequences import numbers
from tidings.core.subscriptions import emptying
from tidings.store.db import Database
from tidings.store.definitions import Definitions
from tidings.store.tx import Tx

ROWS = 20_000
# What the questions themselves bring along, and an index that holds nothing but what is looked for.
SMALL = (
    "CONSTANT ROWS",
    "VALUES CLAUSE",
    "SCAN one",
    "SCAN few",
    "SCAN newest",
    "tags_to_empty",
    "Values Scan",
)

_PEOPLE = (
    "WITH RECURSIVE n (i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < :most)"
    " INSERT INTO subscribers (account_id, email, email_key, state, fields, created_at, updated_at)"
    " SELECT :account_id, 'p' || i || '@example.com', 'p' || i || '@example.com', 'active', '{}', 0, 0 FROM n"
)
_FORM = (
    "INSERT INTO subscriptions (account_id, subscriber_id, form_id, subscriber_state, confirmations,"
    " created_at) SELECT account_id, id, :ref, 'active', 0, 0 FROM subscribers WHERE email LIKE 'p%'"
)
_TAG = (
    "INSERT INTO subscriptions (account_id, subscriber_id, tag_id, subscriber_state, confirmations,"
    " created_at) SELECT account_id, id, :ref, 'active', 0, 0 FROM subscribers WHERE email LIKE 'p%'"
)
_ENTRIES = (
    "INSERT INTO entries (account_id, sequence_id, subscriber_id, n, email_id, position, had, since_at,"
    " next_at, state, created_at, updated_at) SELECT account_id, :ref, id, 1, id % 5, 0, '', 0, 0,"
    " 'inside', 0, 0 FROM subscribers WHERE email LIKE 'p%'"
)
_COUNTERS = (
    "WITH RECURSIVE n (i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < :most)"
    " INSERT INTO counters (account_id, kind, ref_id, state, bucket, day, n)"
    " SELECT :account_id, 'tag', i, 'active', -1, 0, 1 FROM n WHERE i > 10"
)

HOT: dict[str, Callable[[Tx, Cast], object]] = {
    "totals of a page of tags": lambda tx, cast: counters.totals(tx, "tag", [cast.ada.tag, cast.ada.vip]),
    "sign-ups of late": lambda tx, cast: subscriptions.joined_since(tx, "form", cast.ada.plain, 0, 5_000),
    "people of sequences": lambda tx, cast: entries.counts(tx, [cast.ada.sequence], 1_000),
    "people behind emails": lambda tx, cast: entries.behind(tx, cast.ada.sequence, [1, 2, 3], 1_000),
    "a deleted tag that people have": lambda tx, _: tags.next_to_empty(tx),
    "a slice of people who had a tag": lambda tx, cast: emptying.untag_slice(tx, cast.ada.tag),
}


def fill(tx: Tx, cast: Cast) -> None:
    """Make many people, all of them in one form, one tag and one sequence of Ada's, and many tags."""
    tx.run(_PEOPLE, account_id=cast.ada.id, most=ROWS)
    tx.run(_FORM, ref=cast.ada.plain)
    tx.run(_TAG, ref=cast.ada.tag)
    tx.run(_ENTRIES, ref=cast.ada.sequence)
    tx.run(_COUNTERS, account_id=cast.ada.id, most=ROWS)


@pytest.fixture
def session(db: Database, cast: Cast) -> Iterator[Any]:
    db.write_now(cast.ada.id, fill, cast)
    db.write_now(0, lambda tx: tx.run("ANALYZE"))
    with closing(db.session(writer=True)) as session:
        session.begin()
        yield session
        session.rollback()


def test_no_page_of_forms_tags_and_sequences_reads_a_table_whole(
    session: Any, cast: Cast, clock: Clock
) -> None:
    wrong = []
    for name, question in HOT.items():
        recording = Recording(session)
        question(Tx(recording, Definitions(stale_ms=0), cast.ada.id, clock.now), cast)
        assert recording.asked
        for sql, params in recording.asked:
            lines = plan(session, sql, params)
            if [line for line in whole_reads(lines) if not any(one in line for one in SMALL)]:
                wrong += [f"{name}:", sql, *lines, ""]
    assert not wrong, "\n".join(wrong)


def test_numbers_are_read_with_the_emails_of_their_sequence(session: Any, cast: Cast, clock: Clock) -> None:
    recording = Recording(session)
    numbers.of_sequence(Tx(recording, Definitions(stale_ms=0), cast.ada.id, clock.now), cast.ada.sequence)
    ((sql, params),) = recording.asked
    assert params["id"] == cast.ada.sequence
    assert not [line for line in plan(session, sql, params) if line.startswith("SCAN")]
