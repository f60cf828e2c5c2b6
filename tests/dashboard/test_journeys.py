"""From nothing to a report, as a new owner goes; and what a viewer, a keyboard and no script can do."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.asking import Asking
from tests.dashboard.browsing import PHONE, Browsing, served, signed_in
from tests.dashboard.places import places
from tests.dashboard.world import World
from tidings.core import accounts, users

pytestmark = pytest.mark.browser

START_S = 60
SENT_MS = 60_000
# Buttons that a viewer has: their own account, their own session, and forms that only look.
OWN = re.compile(r"/(?:accounts/[0-9]+|sign-out|settings/you(?:/.*)?)")

FOR_THE_MOUSE = """() => {
  const keyed = "a,button,label,summary,select,input,textarea,[contenteditable]";
  // What a plot shows stands in a table beside it too.
  const looks = (one) => !one.closest(".uplot") &&
    getComputedStyle(one).cursor === "pointer" && !one.closest(keyed) && !one.querySelector(keyed);
  return [...document.querySelectorAll("div,span,td,li,p")].filter(looks)
    .concat([...document.querySelectorAll("[tabindex]")].filter((one) => one.tabIndex > 0))
    .map((one) => one.outerHTML.slice(0, 120));
}"""


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """`tidings serve` on an empty folder: its address, and the sign-in link that it prints."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TIDINGS_")}
    environment = {
        **inherited,
        "TIDINGS_DATABASE": f"sqlite:///{tmp_path}/tidings.db",
        "TIDINGS_PORT": str(port),
    }
    log = tmp_path / "log"
    with log.open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "tidings", "serve"],
            env=environment,
            cwd=tmp_path,
            stdout=said,
            stderr=said,
        )
    try:
        yield f"http://127.0.0.1:{port}", _printed(process, log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _printed(process: "subprocess.Popen[bytes]", log: Path) -> str:
    """Wait until it serves; return the link."""
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        text = log.read_text()
        found = re.search(r"http://\S+/sign-in/\S+", text)
        if found and "Tidings is at" in text:
            return found[0]
        time.sleep(0.05)
    raise AssertionError(f"tidings serve did not start: {log.read_text()[-2_000:]}")


def test_from_an_empty_installation_to_a_report(empty: tuple[str, str], browsing: Browsing) -> None:
    url, link = empty

    def walk(page: Page) -> None:
        page.goto(link, wait_until="load")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="First steps")).to_be_visible()
        page.get_by_role("link", name="Say who your mail is from").click()
        page.get_by_label("Name", exact=True).fill("Ada's garden")
        page.get_by_label("Postal address").fill("1 Main Street\nBern")
        page.get_by_role("button", name="Save").first.click()
        expect(page.get_by_role("status")).to_be_visible()
        page.goto(url + "/subscribers/add")
        page.get_by_label("Address").fill("bea@example.com")
        page.get_by_label("First name").fill("Bea")
        page.get_by_label("They agreed to get mail from me").check()
        page.get_by_label("How did they agree to get your mail?").fill("asked me at the fair")
        page.locator("main").get_by_role("button", name="Add").click()
        expect(page.locator("main")).to_contain_text("bea@example.com")
        page.goto(url + "/broadcasts")
        page.get_by_role("button", name="Write the first one").click()
        page.get_by_label("Subject").fill("Hello from the garden")
        page.locator(".ProseMirror").click()
        page.keyboard.type("Dear readers, it grows.")
        page.get_by_role("button", name="Next: audience").click()
        expect(page.locator("#size .big-number")).to_have_text("1")
        page.get_by_role("button", name="Next: review").click()
        page.get_by_role("button", name="Send", exact=True).click()
        expect(page.locator(".head .badge")).to_have_text("sent", timeout=SENT_MS)
        expect(page.locator("main")).to_contain_text("Hello from the garden")
        page.goto(url + "/outbox")
        page.get_by_role("link", name="Hello from the garden", exact=True).click()
        expect(page.frame_locator("main iframe").get_by_text("Dear readers, it grows.")).to_be_visible()

    browsing.do(walk)


@pytest.mark.long
def test_a_viewer_can_change_nothing(shown: tuple[World, str], browsing: Browsing) -> None:
    """No page shows a viewer a button that posts; what posts all the same is refused (the matrix)."""
    world, url = shown
    visited = [one for one in places(world, url) if one.signed_in]

    def walk(page: Page) -> list[str]:
        signed_in(page.context, url, world.ada.secrets["viewer"])
        found = []
        for place in visited:
            answer = page.goto(url + place.path, wait_until="load")
            if answer is not None and answer.status == 403:
                continue
            for form in page.locator("main form[method=post i]:not([inert])").all():
                to = form.get_attribute("action") or place.path
                if (
                    not OWN.fullmatch(to)
                    and form.locator("button:visible, input[type=submit]:visible").count()
                ):
                    found.append(f"{place.path} has a form that posts to {to}")
        return found

    found = browsing.do(walk)
    assert not found, "\n".join(found)


def test_nobody_is_led_to_a_page_that_is_not_for_them(shown: tuple[World, str], browsing: Browsing) -> None:
    """Every link of every page that a viewer sees leads to a page that they may see."""
    world, url = shown
    with Asking(world) as asking:
        who = asking.who("viewer")
        refused: dict[str, str] = {}
        looked: set[str] = set()
        for place in [one for one in places(world, url) if one.signed_in]:
            answer = asking.ask("GET", place.path, who)
            for target in set(re.findall(r'<a [^>]*href="(/[^"#]*)"', answer.text)) - looked:
                looked.add(target)
                path = target.replace("&amp;", "&")
                if path.startswith(("/docs", "/v3/", "/f/", "/static/")):
                    continue
                status = asking.ask("GET", path, who).status
                if status not in (200, 303):
                    refused[target] = f"{place.path} links to {target}, which answers {status}"
    assert not refused, "\n".join(refused.values())


@pytest.mark.long
def test_every_page_is_whole_without_scripts(shown: tuple[World, str], browsing: Browsing) -> None:
    """Without scripts a page has the same heading and says nothing of waiting; forms have a button."""
    world, url = shown
    visited = [one for one in places(world, url) if one.signed_in]

    def walk(page: Page) -> list[str]:
        signed_in(page.context, url, world.ada.secrets["owner"])
        found = []
        for place in visited:
            page.goto(url + place.path, wait_until="load")
            if not page.locator("main h1").count():
                found.append(f"{place.path} has no heading")
            for form in page.locator("main form").all():
                if not form.locator("button:visible, input[type=submit]:visible").count():
                    inside = form.locator("xpath=ancestor::details[not(@open)]").count()
                    linked = form.get_attribute("id") or ""
                    if not inside and not (linked and page.locator(f"button[form='{linked}']").count()):
                        found.append(f"{place.path}: a form to {form.get_attribute('action')} has no button")
        return found

    found = browsing.within({"java_script_enabled": False}, walk)
    assert not found, "\n".join(found)


def test_who_has_two_accounts_goes_from_one_to_the_other(world: World, browsing: Browsing) -> None:
    """By the keyboard, with scripts and without; the role is the one they have over there."""
    mine = world.db.read_now(world.ada.id, accounts.get)
    other = world.db.read_now(world.eve.id, accounts.get)
    user = world.db.read_now(world.ada.id, users.owner_of)
    world.db.write_now(world.eve.id, users.admit, user.email, "viewer")

    def walk(page: Page, url: str) -> None:
        signed_in(page.context, url, world.ada.secrets["owner"])
        page.goto(url + "/subscribers")
        expect(page.locator("main")).to_contain_text("ada@example.com")
        menu = page.get_by_role("complementary", name="Menu")
        for name, there, may in ((other.name, "eve", False), (mine.name, "ada", True)):
            menu.locator("summary").focus()
            page.keyboard.press("Enter")
            menu.get_by_role("button", name=name).focus()
            page.keyboard.press("Enter")
            expect(menu.locator(".switch-name")).to_have_text(name)
            page.goto(url + "/subscribers")
            expect(page.locator("main")).to_contain_text(f"{there}@example.com")
            expect(page.get_by_role("link", name="Add a person")).to_have_count(int(may))

    with served(world.db) as url:
        for scripts in (True, False):
            browsing.within({"java_script_enabled": scripts}, walk, url)


def test_lists_and_forms_work_without_scripts_on_a_phone(world: World, browsing: Browsing) -> None:
    def walk(page: Page, url: str) -> None:
        signed_in(page.context, url, world.ada.secrets["owner"])
        page.goto(url + "/subscribers")
        page.get_by_role("searchbox").fill("p3.ada")
        page.get_by_role("searchbox").press("Enter")
        expect(page.locator("main")).to_contain_text("p3.ada@example.com")
        page.get_by_role("link", name="p3.ada@example.com").click()
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        page.goto(url + "/tags")
        page.get_by_role("textbox").first.fill("made without a script")
        page.get_by_role("textbox").first.press("Enter")
        expect(page.locator("main")).to_contain_text("made without a script")
        page.get_by_text("Menu", exact=True).click()
        page.get_by_role("link", name="Broadcasts", exact=True).click()
        expect(page.get_by_role("heading", name="Broadcasts")).to_be_visible()

    with served(world.db) as url:
        browsing.within({"java_script_enabled": False, "viewport": PHONE}, walk, url)


@pytest.mark.long
def test_the_keyboard_alone_reaches_everything_on_a_page(
    shown: tuple[World, str], browsing: Browsing
) -> None:
    """What can be clicked can be reached: no element is a button by its looks alone."""
    world, url = shown
    visited = [one for one in places(world, url) if one.signed_in]

    def walk(page: Page) -> list[str]:
        signed_in(page.context, url, world.ada.secrets["owner"])
        found = []
        for place in visited:
            page.goto(url + place.path, wait_until="load")
            if not page.locator("body.room").count():
                continue
            page.keyboard.press("Tab")
            first = page.evaluate("() => document.activeElement.className")
            if first != "skip":
                found.append(f"{place.path}: Tab goes to {first!r} before the link that skips the menu")
            found += [f"{place.path}: {one} is for the mouse alone" for one in page.evaluate(FOR_THE_MOUSE)]
        return found

    found = browsing.do(walk)
    assert not found, "\n".join(found)
