"""The pages of broadcasts for everybody: axe finds nothing, in light and dark, on a desktop and a phone."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.pages.conftest import Open, Site
from tidings.core import broadcasts, deliveries, sending, signup, subscribers, tracking
from tidings.core.broadcasts import Draft, course
from tidings.core.deliveries import Outcome, Source, Timing
from tidings.core.events import Origin
from tidings.core.signup import Also
from tidings.store.db import Database
from tidings.store.tx import Tx

pytestmark = pytest.mark.browser
AXE = Path(__file__).parents[2] / "node_modules/axe-core/axe.min.js"
LOOK = """
rules => axe.run(document, {runOnly: rules, iframes: false}).then(done => done.violations.map(
  one => `${one.id}: ${one.nodes.map(node => node.html).join(' | ')}`
))
"""
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PHONE = {"width": 390, "height": 844}
ACCOUNT = 1
HOUR = 3_600_000
WORDS = {
    "subject": "Tomatoes, at last, and what else grew in the greenhouse this summer",
    "content": '<p>Hello {{ subscriber.first_name }}</p><p><a href="example.org">x</a></p>'
    '<img src="https://example.com/a.png" alt="A tomato">',
    "preheader": "",
}


@pytest.fixture(scope="module")
def database(site: Site) -> Iterator[Database]:
    db = Database(site.environment["TIDINGS_DATABASE"], pepper=b"k" * 32)
    yield db
    db.close()


@pytest.fixture(scope="module")
def places(database: Database) -> list[str]:
    """Every page: of a draft, of one that waits, of one that was sent and refused by some."""
    draft = write(database, source_kind="rich")
    later = write(database, send_at=database.clock() + 30 * 24 * HOUR)
    sent = send(database)
    return [
        "/broadcasts",
        *(f"/broadcasts/{draft}/{step}" for step in ("write", "audience", "review")),
        f"/broadcasts/{later}",
        f"/broadcasts/{sent}",
        *(f"/broadcasts/{sent}/recipients{query}" for query in ("", "?fate=failed", "?q=nobody@example.com")),
    ]


def write(db: Database, **words: object) -> int:
    sender = "you@example.com"
    return db.write_now(ACCOUNT, broadcasts.create, Draft(**{**WORDS, **words}), sender).id  # type: ignore[arg-type]


def send(db: Database) -> int:
    """Send one past the engine, which sees none of it: people, a refusal, opens and clicks over ten hours."""

    def people(tx: Tx) -> None:
        for at in range(30):
            person = subscribers.person(f"reader{at}@example.com", f"Reader {at}")
            signup.sign_up(tx, "sequence", _sequence(tx), person, Also(), Origin("api"))
        tx.run("UPDATE subscribers SET state = 'active' WHERE email LIKE 'reader%'")

    db.write_now(ACCOUNT, people)
    made = write(db, send_at=db.clock() - 1)

    def all_at_once(tx: Tx) -> None:
        assert sending.start(tx, made, outbox=True)
        while course.fan_out(tx, made):
            pass
        taken = deliveries.claim(
            tx, Source(ACCOUNT, made), lane="bulk", limit=100, lease=7, alone=False, timing=Timing()
        )
        handed = sending.hand(tx, taken)
        ends = [
            ("failed", "550 5.1.1 no such user") if at % 7 == 3 else ("sent", "250 ok") for at in range(99)
        ]
        outcomes = [Outcome(one, *ends[at]) for at, one in enumerate(handed)]
        sending.settle(tx, outcomes, Timing())

    db.write_now(ACCOUNT, all_at_once)
    db.write_now(ACCOUNT, course.finish, made)
    began = db.clock() - 12 * HOUR
    db.write_now(
        ACCOUNT, lambda tx: tx.run("UPDATE broadcasts SET started_at = :at WHERE id = :id", at=began, id=made)
    )
    for at, opens in enumerate((3, 8, 5, 4, 2, 2, 1, 0, 1, 1)):

        def hour(tx: Tx, at: int = at, opens: int = opens) -> None:
            tx.now = began + at * HOUR
            broadcasts.count(tx, made, opens=opens, clicks=opens // 3, unsubscribes=int(at == 2))

        db.write_now(ACCOUNT, hour)
    db.write_now(
        ACCOUNT, tracking.link_ids, f"broadcast:{made}", [f"https://example.com/{name}" for name in "ab"]
    )
    return made


def _sequence(tx: Tx) -> int:
    row = tx.one("SELECT id FROM sequences WHERE account_id = 1 ORDER BY id LIMIT 1")
    assert row is not None
    return int(row[0])


def violations(page: Page) -> list[str]:
    page.evaluate(AXE.read_text())
    return [str(one)[:400] for one in page.evaluate(LOOK, RULES)]


@pytest.mark.long
@pytest.mark.parametrize("scheme", ("light", "dark"))
@pytest.mark.parametrize("size", (None, PHONE), ids=("desktop", "phone"))
def test_axe_finds_nothing_and_nothing_is_wider_than_the_window(
    site: Site, open_page: Open, places: list[str], scheme: str, size: dict[str, int] | None
) -> None:
    options: dict[str, object] = {"color_scheme": scheme}
    if size:
        options["viewport"] = size
    page = open_page("/broadcasts", **options)
    found = []
    for place in places:
        page.goto(site.base + place)
        page.wait_for_load_state("networkidle")
        found += [f"{place}: {one}" for one in violations(page)]
        if size and (wide := page.evaluate("document.documentElement.scrollWidth")) > size["width"]:
            found.append(f"{place} is {wide} wide")
    assert found == []
