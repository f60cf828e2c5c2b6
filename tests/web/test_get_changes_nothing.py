"""C1: whatever a scanner fetches from a mail, with valid tokens, changes nothing but what counts hits."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.doors import KEY, Rooms, ask
from tidings.core import broadcasts, deliveries, tracking
from tidings.tokens import link_ref
from tidings.web.public.door import Door

AGENTS = (
    "",
    "curl/8.5.0",
    "Mozilla/5.0",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0",
)
METHODS = ("GET", "HEAD", "OPTIONS")
# Where hits are kept and counted; of deliveries and broadcasts only these columns may differ.
HIT_TABLES = ("hits", "links", "broadcast_hours", "sqlite_sequence")
HIT_EVENTS = "link_click"
MARKS = ("opened_at", "clicked_at", "machine_opened_at", "machine_clicked_at")
NUMBERS = ("opens", "clicks", "total_clicks", "machine_opens", "machine_clicks")


class Walked(Rooms):
    """A house with one of everything that a mail leads to, and the paths that it holds."""

    def fill(self) -> dict[str, str]:
        form = self.form()
        joined = self.sign_up(form, "bea@example.com")
        plain = self.form("Plain", confirmation="none")
        self.sign_up(plain, "cal@example.com")
        cal = self.person("cal@example.com")
        assert cal is not None
        draft = broadcasts.Draft(subject="News")
        made = self.db.write_now(self.account_id, broadcasts.create, draft, "ada@example.com")
        owner = f"broadcast:{made.id}"
        self.db.write_now(self.account_id, deliveries.queue, owner, cal.id, lane="bulk")
        delivery = int(self.rows("SELECT id FROM deliveries WHERE lane = 'bulk'")[0][0])
        (link,) = self.db.write_now(self.account_id, tracking.link_ids, owner, ["https://example.com/"])
        links = self.house.links
        track = links.track_token(self.account_id, delivery, cal.id)
        leave = links.leave_token(self.account_id, cal.id, delivery)
        found = {
            "open": links.open(track),
            "click": links.click(track, link_ref(KEY, self.account_id, link)),
            "leave": links.leave(leave),
            "preferences": links.preferences(leave),
            "confirm": links.confirm(self.account_id, joined, self.now),
            "form": links.form_page(form.uid),
        }
        return {name: url.removeprefix(links.base_url) for name, url in found.items()}

    def all_but_hits(self) -> dict[str, object]:
        """Every row of every table, without what hits are kept and counted in."""
        kept: dict[str, object] = {
            name: rows for name, rows in self.dump().items() if name not in (*HIT_TABLES, "events")
        }
        for table, spared in (("deliveries", MARKS), ("broadcasts", NUMBERS)):
            columns = [row[1] for row in self.rows(f"SELECT * FROM pragma_table_info('{table}')")]  # noqa: S608
            shown = ", ".join(one for one in columns if one not in spared)
            kept[table] = self.rows(f"SELECT {shown} FROM {table}")  # noqa: S608
        kept["events"] = self.rows("SELECT * FROM events WHERE name <> :hit", hit=HIT_EVENTS)
        return kept


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Walked]:
    made = Walked(tmp_path)
    yield made
    made.db.close()


def test_the_columns_that_are_spared_exist(here: Walked) -> None:
    here.fill()
    for table, spared in (("deliveries", MARKS), ("broadcasts", NUMBERS)):
        columns = {row[1] for row in here.rows(f"SELECT * FROM pragma_table_info('{table}')")}  # noqa: S608
        assert columns.issuperset(spared)


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("method", METHODS)
def test_nothing_that_a_mail_leads_to_changes_by_being_fetched(here: Walked, method: str, agent: str) -> None:
    paths = here.fill()
    door = Door(here.house)
    before = here.all_but_hits()
    for name, path in paths.items():
        for asked in (path, f"{path}?List-Unsubscribe=One-Click&leave=all&undo=mistake&save=1"):
            answer = ask(door, method, asked, headers={"user-agent": agent})
            assert answer.status in ((204, 405) if method == "OPTIONS" else (200, 302)), name
            assert here.all_but_hits() == before, name
    # What waits is written when the door closes.
    asyncio.run(door.close())
    assert here.all_but_hits() == before
    assert bool(here.rows("SELECT id FROM hits WHERE link_id IS NULL")) == (method != "OPTIONS")


def test_the_walk_would_see_a_change(here: Walked) -> None:
    paths = here.fill()
    before = here.all_but_hits()
    assert ask(Door(here.house), "POST", paths["leave"], {"leave": "all"}).status == 200
    assert here.all_but_hits() != before
