"""Scripts that strangers, clients and providers stored anywhere: no page lets one run, or be an element."""

from typing import Any, Final

import pytest
from playwright.sync_api import Page

from tests.dashboard.browsing import Browsing, served, signed_in
from tests.dashboard.places import Place, places
from tests.dashboard.world import Template, World, fill

pytestmark = pytest.mark.browser

# Ends every context that it may stand in: an attribute, a text area, a script, a comment.
PAYLOAD: Final = "'\"--></textarea></script><img src=x onerror=ran() class=planted>"
LINKED: Final = "javascript:ran()"
# Fields that hold an address.
ADDRESSES: Final = ("referrer", "source")
WATCH: Final = """
for (const name of ["alert", "confirm", "prompt", "print", "ran"]) window[name] = () => told(name);
document.addEventListener("securitypolicyviolation", (event) => {
  if (window === window.top) told("violation: " + event.violatedDirective + " " + event.blockedURI);
});
"""
LOOK: Final = """() => {
  const found = [];
  for (const one of document.querySelectorAll("*")) {
    if (one.classList.contains("planted")) found.push("an element of a payload: " + one.outerHTML);
    for (const { name, value } of one.attributes) {
      if (name.startsWith("on")) found.push("a handler: " + one.outerHTML.slice(0, 200));
      const leads = ["href", "src", "action", "formaction"].includes(name);
      if (leads && /^\\s*(javascript|data:text|vbscript)/i.test(value))
        found.push("an address that runs: " + one.outerHTML.slice(0, 200));
    }
  }
  return found;
}"""


def hostile(name: str) -> str:
    """Return a payload for a field."""
    return LINKED if name in ADDRESSES else f"{name[:16]} {PAYLOAD}"


@pytest.fixture(scope="module")
def hostile_world(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return fill(tmp_path_factory.mktemp("hostile"), hostile)


def watch(page: Page, url: str, secret: str, visited: list[Place]) -> dict[str, list[str]]:
    """Visit pages, and return what ran or came to stand in each, as elements that nobody of us wrote."""
    told: list[str] = []
    page.expose_binding("told", lambda _, word: told.append(str(word)))
    page.add_init_script(WATCH)
    page.on("dialog", lambda dialog: dialog.dismiss())
    page.on("pageerror", lambda error: told.append(f"an error of a script: {error}"))
    signed_in(page.context, url, secret)
    seen: dict[str, list[str]] = {}
    for place in visited:
        told.clear()
        page.goto(url + place.path, wait_until="load")
        for box in page.locator("input[type=search]").all():
            box.fill("<img src=x onerror=ran() class=planted>")
        page.wait_for_timeout(50)
        found = [*told, *page.evaluate(LOOK)]
        if found:
            seen[place.path] = found
    return seen


@pytest.mark.long
def test_no_stored_payload_runs_on_any_page(
    hostile_world: Template, browsing: Browsing, tmp_path_factory: pytest.TempPathFactory
) -> None:
    world = hostile_world.copied(tmp_path_factory.mktemp("served"))
    try:
        with served(world.db) as url:
            visited = [one for one in places(world, url) if one.signed_in]
            seen = browsing.do(watch, url, world.ada.secrets["owner"], visited)
    finally:
        world.db.close()
    assert not seen, "\n".join(f"{path}: {', '.join(what)}" for path, what in seen.items())


def test_the_payloads_are_where_pages_show_them(hostile_world: Template, world: World) -> None:
    """Payloads that the verbs cut or refuse would prove nothing."""
    made = hostile_world.copied(world.folder)
    try:
        rows = made.dump()
    finally:
        made.db.close()
    tables = (
        *("accounts", "tags", "custom_fields", "forms", "sequences", "sequence_emails", "broadcasts"),
        *("subscribers", "events", "purchases", "purchase_products", "rules", "webhooks", "notice_attempts"),
        *("attempts", "outbox", "imports", "users", "sessions", "audit", "hits", "snippets"),
    )
    held = {name: "class=planted" in _text(rows[name]) for name in tables}
    assert all(held.values()), held
    assert LINKED in _text(rows["events"])


def _text(rows: list[tuple[Any, ...]]) -> str:
    return " ".join(
        one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for row in rows for one in row
    )


@pytest.mark.parametrize("policy", (True, False))
def test_a_page_that_does_not_escape_is_seen(policy: bool, browsing: Browsing) -> None:
    """With the policy nothing runs, but the element is found; without it, the payload runs too."""

    def plant(page: Page) -> dict[str, list[str]]:
        header = {"content-security-policy": "default-src 'none'; script-src 'self'"} if policy else {}
        body = f"<!doctype html><p>{hostile('name')}<a href='{LINKED}'>x</a>"
        page.route(
            "**/*",
            lambda route: route.fulfill(status=200, content_type="text/html", body=body, headers=header),
        )
        return watch(page, "http://127.0.0.1:9", "x" * 32, [Place("/", "/", signed_in=True)])

    (found,) = browsing.do(plant).values()
    assert any(one.startswith("an element") for one in found)
    assert any(one.startswith("a handler") for one in found)
    assert any(one.startswith("an address that runs") for one in found)
    assert ("ran" in found) is not policy
    assert any(one.startswith("violation") for one in found) is policy
