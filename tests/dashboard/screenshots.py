"""`make screenshots`: every page as a picture, into build/screenshots/, with contact sheets and an index.

An empty account, a typical one and one of a million people; light and dark; phone and desktop. Nothing is
compared: somebody looks at the sheets.
"""

import argparse
import html
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from playwright.sync_api import Page

from bench.crowded import crowded
from tests.core.cast import DAY
from tests.dashboard import axe
from tests.dashboard.browsing import Browsing, chromium, served, signed_in
from tests.dashboard.places import Place, places
from tests.dashboard.words import natural
from tests.dashboard.world import Account, Filling, World
from tests.web.doors import KEY
from tidings.core import accounts, users
from tidings.core.users import sessions
from tidings.store import migrate
from tidings.store.db import Database

OUT: Final = Path(__file__).parents[2] / "build" / "screenshots"
WORLDS: Final = ("empty", "typical", "million")
MILLION: Final = 1_000_000
# What of a long page is kept.
TALL: Final = {"desktop": 1_800, "phone": 2_000}
# Of a sheet: columns, and the width and height of one picture.
SHEET: Final = {"desktop": (3, 620, 620), "phone": (6, 300, 760)}
ROWS: Final = 3
_STYLE: Final = (
    "body{margin:12px;background:#888;font:13px sans-serif}main{display:grid;gap:12px}"
    "figure{margin:0;background:#fff;overflow:hidden}"
    "figcaption{padding:3px 6px;overflow:hidden;white-space:nowrap}"
    "img{display:block;width:100%}"
)


def main() -> int:
    """Take the pictures that are asked for."""
    parser = argparse.ArgumentParser(prog="screenshots", description=__doc__)
    parser.add_argument("--world", nargs="*", default=list(WORLDS), choices=WORLDS)
    parser.add_argument("--window", nargs="*", default=list(axe.WINDOWS), choices=list(axe.WINDOWS))
    parser.add_argument("--people", type=int, default=MILLION, help="of the million")
    chosen = parser.parse_args()
    with chromium() as browsing:
        for name in chosen.world:
            shutil.rmtree(OUT / name, ignore_errors=True)
            with _filled(name, chosen.people) as world, served(world.db) as url:
                for window in chosen.window:
                    _shoot(browsing, name, window, world, url)
        _index(OUT)
    sys.stdout.write(f"tidings: look at {OUT / 'index.html'} and {OUT}/*/sheets/\n")
    return 0


@contextmanager
def _filled(name: str, people: int) -> Iterator[World]:
    now = [time.time_ns() // 1_000_000 - 3 * DAY]
    with tempfile.TemporaryDirectory() as folder:
        db = Database(f"sqlite:///{folder}/tidings.db", clock=lambda: now[0], pepper=KEY)
        try:
            migrate.migrate(db)
            yield World.of(db, _account(db, now, name, people), Account(0))
        finally:
            db.close()


def _account(db: Database, now: list[int], name: str, people: int) -> Account:
    if name == "million":
        return crowded(db, now, people)
    if name == "typical":
        now[0] -= 60 * DAY
        made = Filling(db, now, "Ada", natural, people=240, pace_ms=DAY // 4).all()
    else:
        keys = db.write_now(0, accounts.create, "A letter from the garden", "ada@example.com")
        made = Account(keys.account_id)
    # The session of two months ago has ended.
    owner = db.write_now(made.id, users.owner_of).id
    made.secrets["owner"] = db.write_now(made.id, sessions.begin, owner)
    return made


def _shoot(browsing: Browsing, name: str, window: str, world: World, url: str) -> None:
    """Take a picture of every page in one window, and lay them out on sheets."""
    folder = OUT / name / window.replace(", ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    kind = window.rpartition(" ")[2]
    visited = places(world, url, lenient=True)
    secret = world.ada.secrets["owner"]
    taken = browsing.within(axe.WINDOWS[window], _pictures, url, secret, visited, folder, TALL[kind])
    columns, width, height = SHEET[kind]
    size = columns * ROWS
    for at in range(0, len(taken), size):
        sheet = folder.parent / "sheets" / f"{folder.name}-{at // size + 1}.png"
        sheet.parent.mkdir(exist_ok=True)
        some = taken[at : at + size]
        viewport = {"viewport": {"width": columns * (width + 12) + 12, "height": 400}}
        browsing.within(viewport, _sheet, some, sheet, columns, height)


def _pictures(
    page: Page, url: str, secret: str, visited: list[Place], folder: Path, tall: int
) -> list[tuple[str, Path]]:
    taken = []
    for at, place in enumerate(visited):
        page.context.clear_cookies()
        if place.signed_in:
            signed_in(page.context, url, secret)
        page.goto(url + place.path, wait_until="load")
        # Plots are drawn after the page is there.
        page.wait_for_timeout(150)
        slug = "".join(one if one.isalnum() else "-" for one in place.pattern).strip("-") or "home"
        path = folder / f"{at:03}-{slug}.png"
        high = page.evaluate("() => document.documentElement.scrollHeight")
        wide = page.evaluate("() => innerWidth")
        clip = {"x": 0, "y": 0, "width": wide, "height": min(high, tall)}
        page.screenshot(path=path, full_page=True, clip=clip)  # type: ignore[arg-type]
        taken.append((place.path, path))
    return taken


def _sheet(page: Page, some: list[tuple[str, Path]], to: Path, columns: int, height: int) -> None:
    figures = "".join(
        f"<figure style='height:{height}px'><figcaption>{html.escape(path)}</figcaption>"
        f"<img src='{file.as_uri()}'></figure>"
        for path, file in some
    )
    source = to.with_suffix(".html")
    grid = f"main{{grid-template-columns:repeat({columns},1fr)}}"
    source.write_text(f"<!doctype html><style>{_STYLE}{grid}</style><main>{figures}</main>", encoding="utf-8")
    page.goto(source.as_uri(), wait_until="load")
    page.screenshot(path=to, full_page=True)
    source.unlink()


def _index(folder: Path) -> None:
    """Write a page that shows every picture that is there."""
    parts = []
    for window in sorted(one for one in folder.glob("*/*") if one.is_dir() and one.name != "sheets"):
        parts.append(f"<h2>{window.parent.name}: {window.name}</h2><main>")
        for file in sorted(window.glob("*.png")):
            at = file.relative_to(folder)
            parts.append(
                f"<figure><figcaption>{file.stem}</figcaption><a href='{at}'><img src='{at}'></a></figure>"
            )
        parts.append("</main>")
    grid = "main{grid-template-columns:repeat(auto-fill,minmax(360px,1fr))}figure{max-height:520px}"
    head = f"<!doctype html><meta charset=utf-8><title>Pages</title><style>{_STYLE}{grid}</style>"
    text = head + "".join(parts)
    (folder / "index.html").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
