"""`[[rules]]` in a file: what is made of them, what is refused, and that twice changes nothing."""

import pytest

from tests.core.ruled import settle
from tidings import declare
from tidings.core import (
    accounts,
    automations,
    entries,
    signup,
    subscribers,
    webhooks,
)
from tidings.core.automations import Action, Condition, Rule, Trigger
from tidings.core.events import Origin
from tidings.core.signup import Also
from tidings.declare.reading import Refused, read
from tidings.store.db import Database

THINGS = """
[[tags]]
id = 11
name = "customer"
[[tags]]
id = 12
name = "vip"
[[forms]]
id = 21
name = "Letter"
confirm = false
[[sequences]]
id = 31
name = "Onboarding"
[[custom_fields]]
id = 41
label = "Birth day"
"""
WHOLE = """
[[rules]]
id = 51
name = "Everything"
when = { tag_add = "customer" }
if = [
  { tag = 12, not = true },
  { form = "Letter" },
  { sequence = "Onboarding", not = true },
  { field = "birth_day", set = true },
  { field = "Birth day", contains = "19" },
  { field = 41, equals = "1990-01-01", not = true },
  { state = "active" },
  { bought = "7" },
  { bought = true, not = false },
]
then = [
  { add_tag = "vip" },
  { remove_tag = 11 },
  { add_to_sequence = "Onboarding" },
  { remove_from_sequence = 31 },
  { add_to_form = "Letter" },
  { remove_from_form = "Letter" },
  { set_field = "birth_day", value = 1990 },
  { set_field = "birth_day" },
  { send_email = "Hello", html = "<p>Hello</p>", text = "Hello", preheader = "Hi" },
  { unsubscribe = true },
  { post = "https://shop.example.com/in" },
  { tell_owner = "Somebody bought", text = "Look" },
]
enabled = false
"""
WHENS = (
    ('{ form_subscribe = "Letter" }', Trigger("form_subscribe", 21)),
    ('{ course_subscribe = "Onboarding" }', Trigger("course_subscribe", 31)),
    ("{ course_complete = 31 }", Trigger("course_complete", 31)),
    ("{ tag_add = 11 }", Trigger("tag_add", 11)),
    ('{ tag_remove = "vip" }', Trigger("tag_remove", 12)),
    ('{ link_click = "https://x.example/a?b=c" }', Trigger("link_click", value="https://x.example/a?b=c")),
    ("{ product_purchase = 7 }", Trigger("product_purchase", value="7")),
    ("{ purchase_create = true }", Trigger("purchase_create")),
    ('{ field_change = "birth_day" }', Trigger("field_change", 41)),
    ('{ field_change = "birth_day", value = "x" }', Trigger("field_change", 41, "x")),
    ("{ subscriber_activate = true }", Trigger("subscriber_activate")),
    ("{ subscriber_unsubscribe = true }", Trigger("subscriber_unsubscribe")),
    ('{ date_arrives = "Birth day" }', Trigger("date_arrives", 41)),
    (
        '{ date_arrives = "Birth day", days = -3, hour = 7, yearly = true }',
        Trigger("date_arrives", 41, days=-3, hour=7, yearly=True),
    ),
    ("{ goes_quiet = 90, hour = 0 }", Trigger("goes_quiet", days=90, hour=0)),
)
RULE = "[[rules]]\nname = 'x'\n"
THEN = "then = [{ unsubscribe = true }]\n"
WHEN = "when = { purchase_create = true }\n"
# What the file alone says is wrong.
REFUSED = (
    (RULE + THEN, 1, "when is missing in [[rules]]"),
    (RULE + WHEN, 1, "then is missing in [[rules]]"),
    (WHEN.join(("[[rules]]\n", THEN)), 1, "name is missing in [[rules]]"),
    (RULE + WHEN + "then = []", 4, "then of [[rules]] must hold at least one action"),
    (RULE + THEN + "when = 'tag'", 4, "when must be a table such as"),
    (RULE + THEN + "when = [{ purchase_create = true }]", 4, "when must be a table such as"),
    (RULE + THEN + "when = {}", 4, "when of [[rules]] needs one of: form_subscribe, course_subscribe"),
    (RULE + THEN + "when = { tag_add = 1, tag_remove = 2 }", 4, "when of [[rules]] needs one of"),
    (RULE + THEN + "when = { days = 1 }", 4, "when of [[rules]] needs one of"),
    (RULE + THEN + "when = { tag_added = 1 }", 4, 'unknown key "tag_added" in when of [[rules]]'),
    (RULE + THEN + "when = { tag_add = 1, days = 2 }", 4, "days does not stand beside tag_add in when"),
    (
        RULE + THEN + "when = { purchase_create = false }",
        4,
        "purchase_create in when of [[rules]] must be true",
    ),
    (
        RULE + THEN + "when = { goes_quiet = '3' }",
        4,
        "goes_quiet in when of [[rules]] must be a whole number",
    ),
    (RULE + THEN + "when = { goes_quiet = 99999 }", 4, "must be at most 3650 days"),
    (
        RULE + THEN + "when = { date_arrives = 'x', hour = 24 }",
        4,
        "hour in when of [[rules]] must be an hour",
    ),
    (RULE + WHEN + THEN + "if = { tag = 1 }", 5, "if must be a list of tables"),
    (RULE + WHEN + THEN + "if = [\n  { tag = 1 },\n  { tags = 1 },\n]", 7, 'unknown key "tags" in if of'),
    (RULE + WHEN + THEN + "if = [{ not = true }]", 5, "if of [[rules]] needs one of: tag, form"),
    (RULE + WHEN + THEN + "if = [{ tag = 1, equals = 'x' }]", 5, "equals does not stand beside tag in if"),
    (RULE + WHEN + THEN + "if = [{ field = 'x' }]", 5, "a condition on a field needs one of: equals"),
    (RULE + WHEN + THEN + "if = [{ field = 'x', set = true, equals = '1' }]", 5, "needs one of: equals"),
    (RULE + WHEN + THEN + "if = [{ state = 'gone' }]", 5, "state in if of [[rules]] must be one of: active"),
    (
        RULE + WHEN + "then = [\n  { add_tag = 1 },\n  { add_tags = 1 },\n]",
        6,
        'unknown key "add_tags" in then',
    ),
    (RULE + WHEN + "then = [{ add_tag = 1, remove_tag = 1 }]", 4, "then of [[rules]] needs one of: add_tag"),
    (RULE + WHEN + "then = [{ add_tag = 1, html = 'x' }]", 4, "html does not stand beside add_tag in then"),
    (RULE + WHEN + "then = [{ post = 'ftp://x' }]", 4, "post in then of [[rules]] must be an http"),
    (RULE + WHEN + "then = [{ unsubscribe = 1 }]", 4, "unsubscribe in then of [[rules]] must be true"),
    (RULE + WHEN + THEN + "[[rules]]\nname = 'X'\n" + WHEN + THEN, 6, 'name "X" is twice in [[rules]]'),
    (RULE + WHEN + THEN + "id = 5\n[[rules]]\nname = 'y'\nid = 5\n" + WHEN + THEN, 8, "the id 5 is twice"),
)
# What the account says is wrong.
UNFIT = (
    ("when = { tag_add = 'nobody' }\n" + THEN, 2, 'tag_add names "nobody", but the account has no tag'),
    ("when = { tag_add = 99 }\n" + THEN, 2, "tag_add names 99, but the account has no tag with this id"),
    (
        "when = { date_arrives = 'x' }\n" + THEN,
        2,
        'date_arrives names "x", but the account has no such custom',
    ),
    (WHEN + "then = [\n  { unsubscribe = true },\n  { add_to_form = 'x' },\n]", 5, 'add_to_form names "x"'),
    (WHEN + THEN + "if = [\n\n  { sequence = 'x' },\n]", 6, 'sequence names "x"'),
    (WHEN + "then = [{ send_email = 'x' }]", 0, "send_email needs html or text"),
    (WHEN + "then = [{ tell_owner = 'x' }, { tell_owner = 'y' }]", 0, "may hold tell_owner once"),
    (WHEN + "then = [" + "{ unsubscribe = true }, " * 21 + "]", 0, "are too many (maximum is 20)"),
    ("when = { goes_quiet = 0 }\n" + THEN, 0, "days must be between 1 and 3650"),
)


@pytest.fixture
def account(db: Database) -> int:
    made = db.write_now(accounts.INSTALLATION, accounts.create, "First", "first@example.com").account_id
    apply(db, made, THINGS)
    return made


def apply(db: Database, account_id: int, text: str) -> declare.Report:
    return declare.apply_text(db, account_id, text, lambda _: None, name="file.toml")


def held(db: Database, account_id: int) -> list[Rule]:
    return [one.rule for one in db.read_now(account_id, automations.all_rules)]


def test_a_whole_rule_is_made_as_it_is_written(db: Database, account: int) -> None:
    assert apply(db, account, WHOLE).counts["rules"] == {"made": 1}

    [rule] = held(db, account)
    assert (rule.id, rule.name, rule.enabled_at) == (51, "Everything", None)
    assert rule.trigger == Trigger("tag_add", 11)
    assert rule.conditions == (
        Condition("tag", 12, negated=True),
        Condition("form", 21),
        Condition("sequence", 31, negated=True),
        Condition("field", 41, how="set"),
        Condition("field", 41, "19", "contains"),
        Condition("field", 41, "1990-01-01", "equals", negated=True),
        Condition("state", value="active"),
        Condition("bought", value="7"),
        Condition("bought"),
    )
    [hook] = db.read_now(account, webhooks.all_webhooks, of_rules=True)
    assert (hook.rule_id, hook.target_url) == (51, "https://shop.example.com/in")
    assert rule.actions == (
        Action("add_tag", 12),
        Action("remove_tag", 11),
        Action("add_to_sequence", 31),
        Action("remove_from_sequence", 31),
        Action("add_to_form", 21),
        Action("remove_from_form", 21),
        Action("set_field", 41, "1990"),
        Action("set_field", 41),
        Action("send_email", subject="Hello", html="<p>Hello</p>", text="Hello", preheader="Hi"),
        Action("unsubscribe"),
        Action("post", hook.id, "https://shop.example.com/in"),
        Action("tell_owner", subject="Somebody bought", text="Look"),
    )


def test_a_second_time_changes_nothing(db: Database, account: int) -> None:
    apply(db, account, WHOLE)
    before = (
        db.read_now(account, automations.all_rules),
        db.read_now(account, webhooks.all_webhooks, of_rules=True),
    )
    assert apply(db, account, WHOLE).counts["rules"] == {"left": 1}
    assert apply(db, account, WHOLE.replace("id = 51\n", "")).counts["rules"] == {"left": 1}
    after = (
        db.read_now(account, automations.all_rules),
        db.read_now(account, webhooks.all_webhooks, of_rules=True),
    )
    assert after == before


def test_what_differs_is_changed_and_a_webhook_keeps_its_key(db: Database, account: int) -> None:
    apply(db, account, WHOLE)
    [hook] = db.read_now(account, webhooks.all_webhooks, of_rules=True)
    text = WHOLE.replace('"Everything"', '"All"').replace("value = 1990", 'value = "2000"')
    assert apply(db, account, text).counts["rules"] == {"changed": 1}
    [rule] = held(db, account)
    assert (rule.id, rule.name, rule.actions[6].value, rule.enabled_at) == (51, "All", "2000", None)
    assert db.read_now(account, webhooks.all_webhooks, of_rules=True) == [hook]


def test_enabled_is_on_where_nothing_is_said_and_stays_as_it_was_switched(db: Database, account: int) -> None:
    text = WHOLE.replace("enabled = false\n", "")
    apply(db, account, text)
    assert held(db, account)[0].enabled_at is not None
    db.write_now(account, automations.switch, 51, on=False)
    assert apply(db, account, text).counts["rules"] == {"left": 1}
    assert held(db, account)[0].enabled_at is None
    assert apply(db, account, text + "enabled = true\n").counts["rules"] == {"changed": 1}
    assert held(db, account)[0].enabled_at is not None


@pytest.mark.parametrize(("when", "trigger"), WHENS, ids=[one[0] for one in WHENS])
def test_every_trigger_can_be_written(db: Database, account: int, when: str, trigger: Trigger) -> None:
    text = f"[[rules]]\nname = 'x'\nwhen = {when}\n{THEN}"
    apply(db, account, text)
    assert held(db, account)[0].trigger == trigger
    assert apply(db, account, text).counts["rules"] == {"left": 1}


def test_tables_of_their_own_mean_the_same_as_tables_in_one_line(db: Database, account: int) -> None:
    text = """
[[rules]]
name = "Long"
[rules.when]
tag_add = "customer"
[[rules.if]]
state = "active"
[[rules.then]]
send_email = "Hello"
html = "<p>Hello</p>"
"""
    apply(db, account, text)
    [rule] = held(db, account)
    assert (rule.trigger, rule.conditions) == (Trigger("tag_add", 11), (Condition("state", value="active"),))
    assert [one.kind for one in rule.actions] == ["send_email"]


@pytest.mark.parametrize(("text", "line", "reason"), REFUSED, ids=[one[2][:40] for one in REFUSED])
def test_what_a_file_says_wrongly_is_refused_with_its_line(text: str, line: int, reason: str) -> None:
    with pytest.raises(Refused) as caught:
        read(text, "file.toml")
    assert caught.value.message.startswith(f"file.toml, line {line}: ")
    assert reason in caught.value.message


@pytest.mark.parametrize(("text", "line", "reason"), UNFIT, ids=[one[2][:40] for one in UNFIT])
def test_what_does_not_fit_the_account_is_refused_with_its_line(
    db: Database, account: int, text: str, line: int, reason: str
) -> None:
    with pytest.raises(Refused) as caught:
        apply(db, account, "[[rules]]\nname = 'x'\n" + text)
    assert caught.value.message.startswith(f"file.toml, line {line + 1}: ")
    assert reason in caught.value.message
    assert held(db, account) == []


def test_the_example_puts_who_is_tagged_into_the_sequence(db: Database) -> None:
    account = db.write_now(accounts.INSTALLATION, accounts.create, "First", "first@example.com").account_id
    declare.apply_text(db, account, declare.example(), lambda _: None)
    # Whoever the file itself has tagged is none of the rule's.
    assert settle(db) == []
    person = subscribers.person("new@example.com")
    tagged = db.write_now(account, signup.sign_up, "tag", 2744672, person, Also(), Origin("api"))[1]
    assert settle(db) == ["done"]
    [entry] = db.read_now(account, entries.of_subscriber, tagged.id)
    assert entry.sequence_id == 1030824
    assert declare.apply_text(db, account, declare.example(), lambda _: None).counts["rules"] == {"left": 1}
