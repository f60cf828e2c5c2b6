"""A broadcast as a person makes one: written, tested, sent, watched; by two at once; without a connection."""

import re

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.pages.conftest import Open, Site

pytestmark = pytest.mark.browser


def new_broadcast(page: Page) -> str:
    """Begin a broadcast; return its address."""
    page.get_by_role("button", name=re.compile("New broadcast|Write the first one")).click()
    page.wait_for_url("**/write")
    expect(page.locator(".ProseMirror")).to_be_visible()
    return page.url.removesuffix("/write")


def letter(page: Page) -> str:
    """What the form would send."""
    return str(page.locator("textarea[name=content]").input_value())


def saved(page: Page) -> None:
    expect(page.locator("[data-saved]")).to_have_text(re.compile("^Saved"))


def test_from_an_empty_page_to_a_report(site: Site, open_page: Open) -> None:
    page = open_page("/broadcasts")
    place = new_broadcast(page)
    page.get_by_label("Subject").fill("Tomatoes, at last")
    page.get_by_label("Preview line").fill("The first ones are red")
    page.locator(".ProseMirror").click()
    page.keyboard.type("Dear ")
    page.get_by_label("Insert what differs for each reader").select_option("First name")
    page.keyboard.type(", they are red.\n")
    page.get_by_role("button", name="H2, heading").click()
    page.keyboard.type("In the greenhouse\n")
    page.get_by_role("button", name="List", exact=True).click()
    page.keyboard.type("one\ntwo\n\n")
    page.get_by_role("button", name="Image").click()
    page.get_by_label("Address of the image").fill("https://example.com/tomato.png")
    page.get_by_label("Description").fill("A red tomato")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Button", exact=True).click()
    page.get_by_label("Address", exact=True).fill("example.com/read")
    page.get_by_label("Words on it").fill("Read it")
    page.keyboard.press("Enter")
    saved(page)
    assert letter(page) == (
        '<p>Dear {{ subscriber.first_name | default: "friend" }}, they are red.</p><h2>In the greenhouse</h2>'
        "<ul><li><p>one</p></li><li><p>two</p></li></ul>"
        '<img src="https://example.com/tomato.png" alt="A red tomato">'
        '<p><a class="button" href="https://example.com/read">Read it</a></p>'
    )
    page.get_by_role("button", name="Next: audience").click()
    expect(page.locator("#size .big-number")).to_have_text("1")
    page.get_by_role("button", name="Next: review").click()
    page.wait_for_url("**/review")
    expect(page.locator(".checks .stop")).to_have_count(0)
    frame = page.frame_locator(".preview iframe")
    expect(frame.get_by_text(re.compile("Dear (?!friend).+, they are red"))).to_be_visible()
    expect(frame.get_by_role("link", name="Unsubscribe")).to_be_visible()
    page.get_by_role("button", name="Send a test").click()
    expect(page.get_by_text("1 test mail on the way")).to_be_visible()
    expect(page.locator(".tried .badge")).to_be_visible()
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_role("button", name="Take it back")).to_be_visible()
    expect(page.locator(".head .badge")).to_have_text("sent", timeout=60_000)
    expect(page.get_by_text("In the Outbox")).to_be_visible()
    expect(page.get_by_role("link", name="https://example.com/read")).to_be_visible()
    page.goto(f"{place}/recipients")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.goto(f"{site.base}/outbox")
    expect(page.get_by_role("link", name="[Test] Tomatoes, at last")).to_be_visible()


def test_two_people_write_at_one_and_nothing_is_lost(open_page: Open) -> None:
    first = open_page("/broadcasts")
    place = new_broadcast(first)
    second = open_page(place.partition("//")[2].partition("/")[2].join(["/", "/write"]))
    first.get_by_label("Subject").fill("Of the first")
    saved(first)
    second.locator(".ProseMirror").click()
    second.keyboard.type("Of the second")
    notice = second.locator("[data-notice]")
    expect(notice).to_contain_text("Somebody else has changed this broadcast")
    expect(notice).to_contain_text("Nothing is lost")
    assert letter(second) == "<p>Of the second</p>"
    second.get_by_role("button", name="Keep mine as its own draft").click()
    second.wait_for_url(lambda url: url != f"{place}/write" and url.endswith("/write"))
    expect(second.get_by_text("Your text is kept here")).to_be_visible()
    assert letter(second) == "<p>Of the second</p>"
    first.reload()
    expect(first.get_by_label("Subject")).to_have_value("Of the first")
    assert letter(first) == ""


def test_the_second_can_save_over_the_first_knowingly(open_page: Open) -> None:
    first = open_page("/broadcasts")
    place = new_broadcast(first)
    second = first.context.new_page()
    second.goto(f"{place}/write")
    first.get_by_label("Subject").fill("Of the first")
    saved(first)
    second.get_by_label("Subject").fill("Of the second")
    second.get_by_role("button", name="Save mine over theirs").click()
    saved(second)
    first.get_by_label("Preview line").fill("Later")
    expect(first.locator("[data-notice]")).to_contain_text("Somebody else has changed")
    first.get_by_role("button", name="Go on with theirs").click()
    expect(first.get_by_label("Subject")).to_have_value("Of the second")


def test_what_is_written_without_a_connection_is_there_afterwards(open_page: Open) -> None:
    page = open_page("/broadcasts")
    place = new_broadcast(page)
    page.get_by_label("Subject").fill("Before")
    saved(page)
    context: BrowserContext = page.context
    context.set_offline(True)
    page.get_by_label("Subject").fill("Within the tunnel")
    page.locator(".ProseMirror").click()
    page.keyboard.type("Words of the tunnel")
    expect(page.locator("[data-saved]")).to_contain_text("No connection. Your text is kept in this browser.")
    page.get_by_role("button", name="Next: audience").click()
    expect(page.locator("[data-saved]")).to_contain_text("No connection")
    # A page that closes saves once more, and Chromium no longer holds its requests up then.
    page.evaluate("() => { window.fetch = () => Promise.reject(new TypeError('no connection')); }")
    page.close()
    context.set_offline(False)
    again = context.new_page()
    again.goto(f"{place}/write")
    expect(again.get_by_label("Subject")).to_have_value("Within the tunnel")
    expect(again.locator("[data-notice]")).to_contain_text("were kept in this browser and are back")
    expect(again.locator(".ProseMirror")).to_contain_text("Words of the tunnel")
    saved(again)
    other = open_page(f"/broadcasts/{place.rpartition('/')[2]}/write")
    expect(other.get_by_label("Subject")).to_have_value("Within the tunnel")
    expect(other.locator(".ProseMirror")).to_contain_text("Words of the tunnel")


def test_a_connection_that_comes_back_saves_by_itself(open_page: Open) -> None:
    page = open_page("/broadcasts")
    new_broadcast(page)
    page.context.set_offline(True)
    page.get_by_label("Subject").fill("Later")
    expect(page.locator("[data-saved]")).to_contain_text("No connection")
    page.context.set_offline(False)
    saved(page)


def test_a_double_click_on_send_sends_once(site: Site, open_page: Open) -> None:
    page = open_page("/broadcasts")
    place = new_broadcast(page)
    page.get_by_label("Subject").fill("Only once")
    page.locator(".ProseMirror").click()
    page.keyboard.type("Hello")
    page.get_by_role("button", name="Next: audience").click()
    page.wait_for_url("**/audience")
    page.goto(f"{place}/review")
    # As fast as two requests can be: the guard of the page's script is passed by.
    posts = page.evaluate(
        """() => {
          const form = document.querySelector('.send form');
          const body = () => new URLSearchParams(new FormData(form));
          const post = () => fetch(form.action, {method: 'POST', body: body()}).then((answer) => answer.url);
          return Promise.all([post(), post(), post()]);
        }"""
    )
    assert set(posts) == {place}
    page.goto(place)
    expect(page.locator(".head .badge")).to_have_text("sent", timeout=60_000)
    shown = site.command("broadcast", "recipients", place.rpartition("/")[2], "--json")
    assert shown.count('"delivery_id"') == 1
    page.goto(f"{site.base}/broadcasts")
    page.get_by_role("link", name="Only once").first.click()
    expect(page.locator(".tallies")).to_contain_text(re.compile(r"Recipients\s*1\b"))


def test_a_click_in_time_takes_it_back(open_page: Open) -> None:
    page = open_page("/broadcasts")
    place = new_broadcast(page)
    page.get_by_label("Subject").fill("Too early")
    page.locator(".ProseMirror").click()
    page.keyboard.type("Hello")
    saved(page)
    page.goto(f"{place}/review")
    page.get_by_role("button", name="Send", exact=True).dblclick()
    page.get_by_role("button", name="Take it back").click()
    expect(page.get_by_text("Nothing was sent: it is a draft again.")).to_be_visible()
    page.goto(place)
    expect(page.get_by_label("Subject")).to_have_value("Too early")


def test_it_all_works_without_a_script(open_page: Open) -> None:
    page = open_page("/broadcasts", java_script_enabled=False)
    page.get_by_role("button", name=re.compile("New broadcast|Write the first one")).click()
    page.get_by_label("Subject").fill("By hand")
    page.get_by_label("Letter", exact=True).fill("<p>Hello {{ subscriber.first_name }}</p>")
    page.get_by_role("button", name="Markdown").click()
    expect(page.get_by_text("Go on in Markdown?")).to_be_visible()
    page.get_by_role("button", name="Switch").click()
    expect(page.get_by_label("Letter", exact=True)).to_have_value("Hello {{ subscriber.first_name }}")
    page.get_by_role("button", name="Next: audience").click()
    page.locator(".aim-include").first.click()
    page.get_by_label("Whoever is in any of those that are included below").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    page.get_by_role("button", name="Next: review").click()
    page.get_by_label("At a time").check()
    page.get_by_label("Time", exact=True).fill("10:15")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_role("heading", name=re.compile("It goes out at .* 10:15"))).to_be_visible()
    page.get_by_role("button", name="Take it back").click()
    expect(page.get_by_text("Nothing was sent: it is a draft again.")).to_be_visible()


def test_the_keys_alone_are_enough(open_page: Open) -> None:
    page = open_page("/broadcasts")
    new_broadcast(page)
    page.get_by_role("button", name="H1, large heading").focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    expect(page.get_by_role("button", name="Italic")).to_be_focused()
    page.keyboard.press("End")
    expect(page.get_by_role("button", name="Redo")).to_be_focused()
    page.keyboard.press("Home")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="H1, large heading")).to_be_focused()
    page.get_by_role("button", name="Link", exact=True).press("Enter")
    expect(page.get_by_label("Address", exact=True)).to_be_focused()
    page.keyboard.type("javascript:alert(1)")
    page.keyboard.press("Enter")
    expect(page.locator("dialog .wrong").first).to_contain_text("Begin with https://")
    page.keyboard.press("Escape")
    expect(page.locator(".ProseMirror")).to_be_focused()
    assert letter(page) == ""


def test_the_editor_runs_nothing_and_gives_back_what_it_knows(open_page: Open) -> None:
    page = open_page("/broadcasts")
    place = new_broadcast(page)
    ran: list[str] = []
    page.on("dialog", lambda dialog: (ran.append(dialog.message), dialog.dismiss()))
    known = (
        '<h1>A</h1><p>B <strong>c</strong> <em>d</em> <a href="https://example.com/?a=1&amp;b=2">e</a><br>f</p>'
        "<ol><li><p>g</p></li></ol><blockquote><p>h</p></blockquote><hr>"
        '<img src="https://example.com/i.png" alt="j">'
        '<p><a class="button" href="{{ unsubscribe_url }}">k</a></p>'
        '<p>{{ subscriber.first_name | default: "l" }}</p>'
    )
    hostile = (
        '<script>alert(1)</script><img src="x" onerror="alert(2)"><svg onload="alert(3)"></svg>'
        '<a href="javascript:alert(4)">m</a><iframe srcdoc="<script>alert(5)</script>"></iframe>'
    )
    page.get_by_role("button", name="HTML").click()
    page.get_by_label("Letter", exact=True).fill(known + hostile)
    saved(page)
    page.get_by_role("button", name="Rich text").click()
    page.get_by_role("button", name="Switch").click()
    expect(page.locator(".ProseMirror h1")).to_have_text("A")
    page.get_by_label("Subject").fill("Hostile")
    saved(page)
    page.locator(".ProseMirror h1").click()
    page.keyboard.press("End")
    page.keyboard.type("!")
    saved(page)
    kept = letter(page)
    assert kept.startswith(known.replace("<h1>A</h1>", "<h1>A!</h1>"))
    for word in ("script", "onerror", "svg", "iframe", "javascript"):
        assert word not in kept
    page.goto(f"{place}/review")
    expect(page.frame_locator(".preview iframe").get_by_text("A!")).to_be_visible()
    assert ran == []
