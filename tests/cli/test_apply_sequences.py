"""`tidings apply`: sequences with their emails' days, hours and words, and whom they pass over."""

import pytest

from tests.core.cast import Clock
from tidings import declare
from tidings.core import accounts, entries, sequences, subscribers
from tidings.core.sequences import SequenceEmail
from tidings.declare import Refused
from tidings.store.db import Database

FILE = """
[account]
time_zone = "Europe/Berlin"

[[tags]]
name = "customer"

[[forms]]
name = "Webinar"

[[sequences]]
name = "Course"
hold = true
hour = 9
time_zone = "subscriber"
excluded_tags = ["customer"]
excluded_forms = ["Webinar"]

  [[sequences.emails]]
  subject = "First"
  html = "<p>1</p>"
  delay = "0"

  [[sequences.emails]]
  subject = "Second"
  html = "<p>2</p>"
  text = "2"
  preheader = "The second"
  delay = "2 days"
  weekdays = ["monday", "Wednesday"]
  hour = 7
  published = false

[[subscribers]]
email = "nia@example.com"
sequences = ["Course"]
"""
HEAD = "[[sequences]]\nname = 'x'\n"
EMAIL = HEAD + "[[sequences.emails]]\nsubject = 'x'\nhtml = ''\ndelay = '0'\n"


@pytest.fixture
def account(db: Database) -> int:
    return db.write_now(accounts.INSTALLATION, accounts.create, "First", "first@example.com").account_id


def apply(db: Database, account_id: int, text: str) -> declare.Report:
    return declare.apply_text(db, account_id, text, lambda _: None, name="file.toml")


def test_a_sequence_is_kept_as_the_file_has_it_and_stays_so(db: Database, account: int, clock: Clock) -> None:
    apply(db, account, FILE)
    (course,) = db.read_now(account, sequences.all_sequences).values()
    assert (course.at_end, course.hour, course.zone) == ("hold", 9, "subscriber")
    assert db.read_now(account, accounts.time_zone) == "Europe/Berlin"
    excluded = db.read_now(account, sequences.exclusions, course.id)
    assert (len(excluded.tags), len(excluded.forms)) == (1, 1)
    assert db.read_now(account, sequences.emails, course.id) == [
        SequenceEmail("First", "<p>1</p>", 0),
        SequenceEmail(
            "Second", "<p>2</p>", 2 * 86_400_000, "2", "The second", published=False, weekdays=0b101, hour=7
        ),
    ]
    again = apply(db, account, FILE)
    assert (again.total("made"), again.total("changed")) == (0, 0)


def test_whom_the_file_subscribes_goes_through_the_sequence(db: Database, account: int) -> None:
    apply(db, account, FILE)
    nia = db.read_now(account, subscribers.find, "nia@example.com")
    assert nia is not None
    (inside,) = db.read_now(account, entries.of_subscriber, nia.id)
    assert (inside.state, inside.n, inside.next_at) == ("inside", 1, inside.since_at)


def test_keys_that_are_not_in_the_file_leave_the_schedule_as_it_is(db: Database, account: int) -> None:
    apply(db, account, FILE)
    apply(db, account, '[[sequences]]\nname = "Course"\nrepeat = true\n')
    (course,) = db.read_now(account, sequences.all_sequences).values()
    assert (course.entry, course.hour, course.zone) == ("repeat", 9, "subscriber")
    assert db.read_now(account, sequences.exclusions, course.id).tags
    changed = apply(db, account, '[[sequences]]\nname = "Course"\nhour = 10\nexcluded_tags = []\n')
    assert changed.total("changed") == 1
    (course,) = db.read_now(account, sequences.all_sequences).values()
    excluded = db.read_now(account, sequences.exclusions, course.id)
    assert (course.hour, excluded.tags, len(excluded.forms)) == (10, [], 1)
    for archived in (True, True, False):
        apply(db, account, f'[[sequences]]\nname = "Course"\narchived = {str(archived).lower()}\n')
        apply(db, account, '[[sequences]]\nname = "Course"\n')
        (course,) = db.read_now(account, sequences.all_sequences).values()
        assert (course.archived_at is not None) == archived


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    (
        (
            "[account]\ntime_zone = 'Mars/Olympus'",
            2,
            "time_zone in [account] must be the name of a time zone",
        ),
        ("[account]\ntime_zone = '../../etc/passwd'", 2, "time_zone in [account] must be the name"),
        (HEAD + "hour = 24", 3, "hour in [[sequences]] must be an hour between 0 and 23"),
        (HEAD + "hour = '9'", 3, "hour in [[sequences]] must be a whole number, not text"),
        (HEAD + "time_zone = 'UTC'", 3, "time_zone in [[sequences]] must be one of: account, subscriber"),
        (HEAD + "excluded_tags = 5", 3, "excluded_tags in [[sequences]] must be a list of ids or names"),
        (HEAD + "excluded_tags = ['x']", 3, 'excluded_tags names "x", but the account has no tag'),
        (HEAD + "excluded_forms = [5]", 3, "excluded_forms names 5, but the account has no form"),
        (EMAIL + "weekdays = []", 7, "weekdays in [[sequences.emails]] must name at least one day"),
        (EMAIL + "weekdays = ['mon']", 7, "weekdays in [[sequences.emails]] must be a list of: monday"),
        (EMAIL + "weekdays = 'monday'", 7, "weekdays in [[sequences.emails]] must be a list of days"),
        (EMAIL + "weekdays = [1]", 7, "weekdays in [[sequences.emails]] must be text"),
        (EMAIL + "hour = -1", 7, "hour in [[sequences.emails]] must be an hour between 0 and 23"),
        (EMAIL + "published = 1", 7, "published in [[sequences.emails]] must be true or false"),
    ),
)
def test_what_cannot_be_is_refused_with_its_line(
    db: Database, account: int, text: str, line: int, reason: str
) -> None:
    with pytest.raises(Refused) as refused:
        apply(db, account, text)
    assert f"file.toml, line {line}: " in refused.value.message
    assert reason in refused.value.message
    assert db.read_now(account, sequences.all_sequences) == {}
