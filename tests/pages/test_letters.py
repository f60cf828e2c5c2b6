"""Letters that are kept as HTML: rich text where it can hold all of them, untouched HTML where it cannot."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.pages.conftest import Open

pytestmark = pytest.mark.browser

# Each of these comes back from rich text as it was, spelling apart.
HELD = (
    "<p>Hello <b>you</b> and <i>you</i></p>",
    "<h2>Head</h2>\n<p>One<br>two</p>\n<ul>\n  <li>a</li>\n  <li>b</li>\n</ul>",
    '<p><a href="https://example.com/x?a=1&amp;b=2">there</a></p><hr><blockquote><p>said</p></blockquote>',
    '<p><a class="button" href="https://example.com/">Read it</a></p>',
    "<p>Hello {{ subscriber.first_name | default: 'friend' }}</p>",
    "",
)
NOT_HELD = (
    '<table><tr><td style="color: red">one</td></tr></table>',
    '<p style="text-align: center">middle</p>',
    "<p>Hello</p><!-- a note -->",
    "<p onclick='run()'>Hello</p>",
    '<div class="box"><p>in a box</p></div>',
    "<p>{% if subscriber.first_name %}</p><pre>code</pre><p>{% endif %}</p>",
)


def first_email(page: Page) -> Locator:
    """Open the first email of the demonstration's sequence; return its field."""
    page.locator("td.main a").first.click()
    page.locator(".letter-row h2 a").first.click()
    page.wait_for_url("**/emails/*")
    expect(page.get_by_role("group", name="The letter is written as")).to_be_visible()
    return page.locator("textarea[name=html]")


def way(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def test_an_email_of_a_sequence_is_written_as_rich_text(open_page: Open) -> None:
    page = open_page("/sequences")
    field = first_email(page)
    page.locator(".ProseMirror").click()
    page.keyboard.press("Control+End")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Bold").click()
    page.keyboard.type("Twice as good")
    page.get_by_role("button", name="Bold").click()
    page.keyboard.type(", ")
    page.get_by_label("Insert what differs for each reader").select_option(label="First name")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Who gets it from now on gets it like this.")).to_be_visible()
    expect(page.locator(".ProseMirror strong")).to_have_text("Twice as good")
    assert re.search(
        r"<p><strong>Twice as good</strong>, \{\{ subscriber.first_name \| default: .*\}\}</p>$",
        field.input_value(),
    )
    way(page, "HTML").click()
    expect(field).to_be_visible()
    expect(page.locator(".ProseMirror")).to_have_count(0)
    field.fill("<p>By hand</p>")
    field.press("Control+End")
    page.get_by_label("Insert what differs for each reader").select_option(label="Address")
    assert field.input_value() == "<p>By hand</p>{{ subscriber.email_address }}"
    field.fill("<p>By hand</p>")
    way(page, "Rich text").click()
    expect(page.locator(".ProseMirror")).to_contain_text("By hand")


def test_html_that_rich_text_cannot_hold_stays_as_it_is_until_somebody_says_so(open_page: Open) -> None:
    page = open_page("/sequences")
    field = first_email(page)
    for held in HELD:
        way(page, "HTML").click()
        field.fill(held)
        way(page, "Rich text").click()
        expect(page.locator(".ProseMirror"), held).to_be_visible()
        assert field.input_value() == held
    for held in NOT_HELD:
        way(page, "HTML").click()
        field.fill(held)
        way(page, "Rich text").click()
        expect(page.get_by_text("Rich text cannot hold all of this HTML"), held).to_be_visible()
        expect(field).to_be_visible()
        assert field.input_value() == held
    field.fill(NOT_HELD[1])
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Who gets it from now on gets it like this.")).to_be_visible()
    expect(way(page, "HTML")).to_have_attribute("aria-pressed", "true")
    assert field.input_value() == NOT_HELD[1]
    way(page, "Rich text").click()
    page.get_by_role("button", name="Change it to rich text").click()
    expect(page.locator(".ProseMirror")).to_have_text("middle")


def test_the_letter_of_a_rule_is_rich_text_too_once_its_action_is_chosen(open_page: Open) -> None:
    page = open_page("/rules/new")
    page.get_by_label("Action 1", exact=True).last.select_option("send_email")
    expect(page.locator(".ProseMirror")).to_be_visible()
    page.locator(".ProseMirror").click()
    page.keyboard.type("Thank you")
    # The form is made anew by the server with what was written.
    page.get_by_role("button", name="Add another action").click()
    expect(page.get_by_role("group", name="Action 2")).to_be_visible()
    expect(page.locator(".ProseMirror")).to_have_text("Thank you")
    expect(page.get_by_role("toolbar")).to_have_count(1)


def test_without_script_a_letter_is_a_field_of_html(open_page: Open) -> None:
    page = open_page("/sequences")
    first_email(page)
    place = page.url
    context = page.context.browser.new_context(  # type: ignore[union-attr]
        java_script_enabled=False, storage_state=page.context.storage_state()
    )
    plain = context.new_page()
    plain.goto(place)
    plain.get_by_label("Letter as HTML").fill("<p>Plain and simple</p>")
    plain.get_by_role("button", name="Save").click()
    expect(plain.get_by_text("Who gets it from now on gets it like this.")).to_be_visible()
    assert plain.get_by_label("Letter as HTML").input_value() == "<p>Plain and simple</p>"
    context.close()
