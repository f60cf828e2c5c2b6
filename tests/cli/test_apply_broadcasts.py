"""`tidings apply`: what holds for an account's mail, and broadcasts with their words and their audience."""

import pytest

from tests.core.cast import Clock
from tidings import declare
from tidings.core import accounts, broadcasts, sequences, tags
from tidings.core.broadcasts import course, shown
from tidings.core.broadcasts.course import Part
from tidings.declare import Refused
from tidings.declare.reading import read
from tidings.store.db import Database

THINGS = """
[[tags]]
id = 5
name = "vip"

[[forms]]
id = 6
name = "Letter"

[[sequences]]
id = 7
name = "Course"
"""
WORDS = """
[[broadcasts]]
subject = "News"
html = "<p>Hi</p>"
text = "Hi"
preheader = "In short"
from_name = "Ada of Acme"
reply_to = "re@example.com"
layout = "Modern"
"""
AUDIENCE = """tags = ["vip"]
forms = [6]
excluded_sequences = ["Course"]
"""
MAIL = """
[account]
postal_address = \"\"\"
Acme
1 Main Street \"\"\"
ambiguity = "hold"
track_opens = false
track_clicks = true
"""


@pytest.fixture
def account(db: Database) -> int:
    return db.write_now(accounts.INSTALLATION, accounts.create, "First", "first@example.com").account_id


def apply(db: Database, account_id: int, text: str) -> declare.Report:
    return declare.apply_text(db, account_id, text, lambda _: None, name="file.toml")


def the(db: Database, account_id: int, subject: str = "News") -> broadcasts.Broadcast:
    [one] = db.read_now(account_id, broadcasts.with_subject, subject)
    return one


def parts(db: Database, account_id: int) -> list[Part]:
    return db.read_now(account_id, shown.parts, the(db, account_id).id)


def test_what_holds_for_the_mail_of_an_account_is_declared(db: Database, account: int) -> None:
    assert apply(db, account, MAIL).counts == {"account": {"changed": 1}}
    assert db.read_now(account, accounts.get).postal_address == "Acme\n1 Main Street"
    assert db.read_now(account, accounts.ambiguity) == "hold"
    assert db.read_now(account, accounts.tracking) == (False, True)
    assert apply(db, account, MAIL).counts == {"account": {"left": 1}}
    assert apply(db, account, "[account]\ntrack_clicks = false").counts == {"account": {"changed": 1}}
    assert db.read_now(account, accounts.tracking) == (False, False)
    assert db.read_now(account, accounts.ambiguity) == "hold"


def test_a_broadcast_is_made_with_all_its_words(db: Database, account: int) -> None:
    assert apply(db, account, WORDS).total("made") == 1
    one = the(db, account)
    assert (one.content, one.text, one.preheader) == ("<p>Hi</p>", "Hi", "In short")
    assert (one.from_name, one.reply_to, one.email_layout_template) == (
        "Ada of Acme", "re@example.com", "Modern",
    )  # fmt: skip
    assert (one.status, parts(db, account)) == ("draft", [])


def test_applying_it_twice_changes_nothing(db: Database, account: int, clock: Clock) -> None:
    apply(db, account, THINGS + WORDS + AUDIENCE)
    before = the(db, account), parts(db, account)
    clock.move(60_000)
    report = apply(db, account, THINGS + WORDS + AUDIENCE)
    assert (report.total("made"), report.total("changed")) == (0, 0)
    assert (the(db, account), parts(db, account)) == before


@pytest.mark.parametrize(
    ("line", "name", "value"),
    (
        ('text = "Hello"', "text", "Hello"),
        ('text = ""', "text", None),
        ('preheader = ""', "preheader", ""),
        ('from_name = ""', "from_name", None),
        ('reply_to = ""', "reply_to", None),
        ('layout = "Classic"', "email_layout_template", "Classic"),
        ('html = "<p>Ho</p>"', "content", "<p>Ho</p>"),
        ("send_at = 2099-12-01T09:00:00Z", "send_at", 4_099_798_800_000),
    ),
)
def test_one_word_is_changed_and_the_rest_left(
    db: Database, account: int, line: str, name: str, value: object
) -> None:
    apply(db, account, WORDS)
    before = the(db, account)
    assert apply(db, account, f'[[broadcasts]]\nsubject = "News"\n{line}').total("changed") == 1
    after = the(db, account)
    assert getattr(after, name) == value
    differing = {
        one for one in broadcasts.Draft.__struct_fields__ if getattr(before, one) != getattr(after, one)
    }
    assert differing == {name}


def test_an_audience_is_declared_by_name_or_id(db: Database, account: int) -> None:
    apply(db, account, THINGS + WORDS + AUDIENCE)
    assert parts(db, account) == [Part("tag", 5), Part("form", 6), Part("sequence", 7, excluded=True)]


def test_a_list_that_is_not_in_the_file_stays_and_an_empty_one_empties(db: Database, account: int) -> None:
    apply(db, account, THINGS + WORDS + AUDIENCE)
    only_words = apply(db, account, WORDS)
    assert only_words.total("left") == 1
    assert len(parts(db, account)) == 3
    head = '[[broadcasts]]\nsubject = "News"\n'
    assert apply(db, account, head + "forms = []\nexcluded_tags = [5]").total("changed") == 1
    assert parts(db, account) == [
        Part("tag", 5), Part("tag", 5, excluded=True), Part("sequence", 7, excluded=True),
    ]  # fmt: skip
    apply(db, account, head + "tags = []\nexcluded_tags = []\nexcluded_sequences = []")
    assert parts(db, account) == []


def test_what_the_audience_names_must_be_there(db: Database, account: int) -> None:
    for line, said in (
        ('tags = ["nobody"]', 'tags names "nobody", but the account has no tag of this name'),
        ("excluded_forms = [9]", "excluded_forms names 9, but the account has no form with this id"),
    ):
        with pytest.raises(Refused, match=said) as caught:
            apply(db, account, f'[[broadcasts]]\nsubject = "News"\n{line}')
        assert str(caught.value).startswith("file.toml, line 3: ")
        assert db.read_now(account, broadcasts.with_subject, "News") == []


@pytest.mark.parametrize(
    "line", ('text = "other"', 'from_name = "B"', 'tags = ["vip"]', 'layout = "Classic"')
)
def test_a_broadcast_that_was_sent_is_not_changed(db: Database, account: int, line: str) -> None:
    apply(db, account, THINGS + WORDS)
    one = the(db, account).id
    db.write_now(account, course.schedule, one)
    frozen = course.Frozen("News", "x", None, "", "Text only", "A", "a@x.de", None, "1 Main", "A")
    assert db.write_now(account, course.start, one, frozen)
    assert apply(db, account, WORDS).total("left") == 1
    with pytest.raises(Refused, match="has been sent and cannot be changed"):
        apply(db, account, f'[[broadcasts]]\nsubject = "News"\n{line}')


def test_a_broadcast_made_as_completed_has_no_audience(db: Database, account: int) -> None:
    with pytest.raises(Refused, match="line 4: tags chooses nobody"):
        apply(db, account, '[[broadcasts]]\nsubject = "Old"\nstatus = "completed"\ntags = []')


HEAD = "[[broadcasts]]\nsubject = 'x'\n"


@pytest.mark.parametrize(
    ("text", "said"),
    (
        (HEAD + "layout = 'Fancy'", "layout in [[broadcasts]] must be one of: Text only, Classic, Modern"),
        (HEAD + "reply_to = 'nobody'", "reply_to in [[broadcasts]] is not an email address"),
        (HEAD + 'from_name = "a\\nb"', "from_name in [[broadcasts]] must be one line"),
        (HEAD + "tags = 'vip'", "tags in [[broadcasts]] must be a list of ids or names"),
        (HEAD + "tag = ['vip']", 'unknown key "tag" in [[broadcasts]]'),
        ("[account]\n\nambiguity = 'maybe'", "ambiguity in [account] must be one of: retry-once, hold"),
        ("[account]\n\ntrack_opens = 'off'", "track_opens in [account] must be true or false, not text"),
        ("[account]\n\npostal_address = ' '", "postal_address in [account] must not be blank"),
        ('[account]\n\npostal_address = "a\\u0007b"', "postal_address in [account] must not contain control"),
        (f"[account]\n\npostal_address = '{'x' * 501}'", "postal_address in [account] must be at most 500"),
    ),
)
def test_what_cannot_be_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(Refused) as caught:
        read(text, "file.toml")
    assert str(caught.value).startswith(f"file.toml, line 3: {said}")


def test_the_demonstration_may_be_sent(db: Database, account: int) -> None:
    apply(db, account, declare.example())
    assert "Example Street" in (db.read_now(account, accounts.get).postal_address or "")


@pytest.mark.parametrize("table", ("tags", "sequences"))
def test_what_people_may_choose_by_themselves_is_declared(db: Database, account: int, table: str) -> None:
    public = {"tags": tags.public_names, "sequences": sequences.public_names}[table]
    for line, shown_as, ended in (
        ("public = true", ["Weekly"], "made"),
        ("public = true", ["Weekly"], "left"),
        ("", ["Weekly"], "left"),
        ("public = false", [], "changed"),
        ("", [], "left"),
        ("public = true", ["Weekly"], "changed"),
    ):
        report = apply(db, account, f'[[{table}]]\nname = "Weekly"\n{line}\n')
        assert report.counts == {table: {ended: 1}}
        assert list(db.read_now(account, public).values()) == shown_as
