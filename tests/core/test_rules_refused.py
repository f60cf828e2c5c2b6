"""What an owner cannot make a rule of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.cast import Cast
from tests.core.ruled import rule
from tidings.core import automations
from tidings.core.automations import Action, Condition, Trigger, Wish, normal_url
from tidings.errors import Invalid, NotFound, Problem
from tidings.store.db import Database

OUT = Action("unsubscribe")
BUY = Trigger("purchase_create")
REFUSED = (
    (Wish(" ", BUY, (), (OUT,)), "Name can't be blank"),
    (Wish("x" * 256, BUY, (), (OUT,)), "Name is too long"),
    (Wish("a\0b", BUY, (), (OUT,)), "Name must not contain control characters"),
    (Wish("x", Trigger("tag_ad"), (), (OUT,)), "Trigger must be one of: form_subscribe"),
    (Wish("x", Trigger("tag_add"), (), (OUT,)), "tag not found"),
    (Wish("x", Trigger("tag_add", 99), (), (OUT,)), "tag not found"),
    (Wish("x", Trigger("field_change", 99), (), (OUT,)), "custom field not found"),
    (Wish("x", Trigger("field_change", 2, " "), (), (OUT,)), "can't be blank"),
    (Wish("x", Trigger("date_arrives", 99), (), (OUT,)), "custom field not found"),
    (Wish("x", Trigger("date_arrives", 2, hour=24), (), (OUT,)), "hour must be between 0 and 23"),
    (Wish("x", Trigger("date_arrives", 2, days=-4_000), (), (OUT,)), "days must be between"),
    (Wish("x", Trigger("goes_quiet"), (), (OUT,)), "days must be between 1 and"),
    (Wish("x", Trigger("link_click"), (), (OUT,)), "The URL of the trigger can't be blank"),
    (Wish("x", Trigger("link_click", value="u" * 9_000), (), (OUT,)), "is too long"),
    (Wish("x", Trigger("product_purchase"), (), (OUT,)), "The product of the trigger can't be blank"),
    (Wish("x", BUY, (), ()), "Actions are missing"),
    (Wish("x", BUY, (), (OUT,) * 21), "Actions are too many"),
    (Wish("x", BUY, (Condition("bought"),) * 21, (OUT,)), "Conditions are too many"),
    (Wish("x", BUY, (Condition("weather"),), (OUT,)), "Condition must be one of: tag"),
    (Wish("x", BUY, (Condition("tag", 99),), (OUT,)), "tag not found"),
    (Wish("x", BUY, (Condition("sequence", 99),), (OUT,)), "sequence not found"),
    (Wish("x", BUY, (Condition("state", value="gone"),), (OUT,)), "Condition state must be one of"),
    (Wish("x", BUY, (Condition("field", 2),), (OUT,)), "Condition on a field must be one of"),
    (Wish("x", BUY, (Condition("field", 2, "", "contains"),), (OUT,)), "contains can't be blank"),
    (Wish("x", BUY, (Condition("field", 2, "\ud800", "equals"),), (OUT,)), "must not contain control"),
    (Wish("x", BUY, (), (Action("dance"),)), "Action must be one of: add_tag"),
    (Wish("x", BUY, (), (Action("add_tag"),)), "tag not found"),
    (Wish("x", BUY, (), (Action("add_to_form", 99),)), "form not found"),
    (Wish("x", BUY, (), (Action("set_field", 2, "x" * 70_000),)), "The value is too long"),
    (Wish("x", BUY, (), (Action("post", value="ftp://x"),)), "must be a valid http or https address"),
    (Wish("x", BUY, (), (Action("post", value="http://a:b@x/"),)), "must not contain a user name"),
    (Wish("x", BUY, (), (Action("post", value="http://x/"),) * 2), "Actions may post to one address once"),
    (Wish("x", BUY, (), (Action("send_email", subject="x", html="y"),) * 2), "may hold send_email once"),
    (Wish("x", BUY, (), (Action("send_email", html="y"),)), "Subject can't be blank"),
    (Wish("x", BUY, (), (Action("send_email", subject="a\nb", html="y"),)), "Subject must not contain"),
    (Wish("x", BUY, (), (Action("send_email", subject="x"),)), "send_email needs html or text"),
    (Wish("x", BUY, (), (Action("send_email", subject="x", html="y" * 1_048_577),)), "HTML is too long"),
    (Wish("x", BUY, (), (Action("tell_owner"),)), "Subject can't be blank"),
)
SAME = (
    ("https://x.example/a?b=c", "https://x.example/a?b=c&utm_source=y#z"),
    ("https://x.example/a?b=c", "HTTPS://X.Example:443/a?utm_campaign=1&b=c&fbclid=2"),
    ("https://x.example", "https://x.example/?gclid=1"),
    ("http://x.example:80/", "http://x.example"),
    ("http://[::1]:80/a", "http://[::1]/a"),
)
OTHER = (
    ("https://x.example/a", "http://x.example/a"),
    ("https://x.example/a", "https://x.example/A"),
    ("https://x.example/a", "https://x.example/a/"),
    ("https://x.example/a?b=1", "https://x.example/a?b=2"),
    ("https://x.example:8443/a", "https://x.example/a"),
    ("https://u@x.example/a", "https://x.example/a"),
)


@pytest.mark.parametrize(("wish", "said"), REFUSED, ids=[one[1][:40] for one in REFUSED])
def test_what_makes_no_sense_is_refused(db: Database, cast: Cast, wish: Wish, said: str) -> None:
    kept = rule(db, cast.ada, BUY, OUT, name="kept")
    for verb, args in ((automations.create, ()), (automations.change, (kept.id,))):
        with pytest.raises(Problem, match=said[:30].replace("(", r"\(")) as caught:
            db.write_now(cast.ada.id, verb, *args, wish)
        assert isinstance(caught.value, Invalid | NotFound)
        assert said in caught.value.message
    assert [one.rule for one in db.read_now(cast.ada.id, automations.all_rules)] == [kept]


def test_a_name_is_given_once_whatever_its_case(db: Database, cast: Cast) -> None:
    rule(db, cast.ada, BUY, OUT, name="Straße")
    other = rule(db, cast.ada, BUY, OUT, name="Other")
    wish = Wish("STRASSE", BUY, (), (OUT,))
    with pytest.raises(Invalid, match="already been taken"):
        db.write_now(cast.ada.id, automations.create, wish)
    with pytest.raises(Invalid, match="already been taken"):
        db.write_now(cast.ada.id, automations.change, other.id, wish)
    assert rule(db, cast.eve, BUY, OUT, name="Straße").name == "Straße"


def test_an_account_has_a_bounded_number_of_rules(
    db: Database, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(automations.definitions, "RULES_MAX", 2)
    for n in range(2):
        rule(db, cast.ada, BUY, OUT, name=f"{n}")
    with pytest.raises(Invalid, match="at most 2 rules"):
        rule(db, cast.ada, BUY, OUT, name="3")


@pytest.mark.parametrize(("one", "other"), SAME)
def test_links_are_the_same_but_for_what_tracks(one: str, other: str) -> None:
    assert normal_url(one) == normal_url(other)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_links_that_lead_elsewhere_differ(one: str, other: str) -> None:
    assert normal_url(one) != normal_url(other)


@given(st.text(max_size=80) | st.from_regex(r"https?://[^\s]{0,60}", fullmatch=True))
def test_any_text_has_a_normal_form_that_is_its_own(url: str) -> None:
    normal = normal_url(url)
    assert normal_url(normal) == normal
