"""The account: sender, postal address, time zone, tracking, and what is done in doubt; the audit log."""

import zoneinfo
from functools import cache
from typing import Final

from tidings.core import accounts, audit
from tidings.core.accounts import choices
from tidings.core.accounts.choices import Choices
from tidings.errors import Problem
from tidings.store.tx import Rx
from tidings.web.dashboard import pages
from tidings.web.dashboard.asked import Asked
from tidings.web.dashboard.given import Given
from tidings.web.dashboard.routing import OWNER, VIEWER, Route
from tidings.web.http import Reply

LANGUAGES: Final = (
    ("en", "English"), ("de", "Deutsch"), ("es", "Español"), ("fr", "Français"), ("it", "Italiano"),
    ("nl", "Nederlands"), ("pt", "Português"),
)  # fmt: skip
AMBIGUITIES: Final = (
    ("retry-once", "Send it once more after a while: perhaps twice, never lost"),
    ("hold", "Never send it again: perhaps lost, never twice"),
)


async def show(asked: Asked) -> Reply:
    """GET /settings"""
    return await _page(asked, 200, Given())


async def save(asked: Asked) -> Reply:
    """POST /settings"""
    given = asked.given
    wanted = Choices(
        name=given.text("name", "Name", needed=True, most=choices.NAME_MAX),
        primary_email=given.text("primary_email", "Sending address", needed=True, most=320),
        postal_address=given.text("postal_address", "Postal address", most=accounts.POSTAL_MAX),
        time_zone=given.text("time_zone", "Time zone", needed=True, most=60),
        language=given.choice("language", [code for code, _ in LANGUAGES], "en"),
        opens=given.flag("opens"),
        clicks=given.flag("clicks"),
        ambiguity=given.choice("ambiguity", [one for one, _ in AMBIGUITIES], "retry-once"),
    )
    if given.ok:
        try:
            await asked.do("account.change", wanted.name, choices.choose, wanted)
            return asked.see("/settings", "Saved.")
        except Problem as problem:
            given.blame(problem)
    return await _page(asked, 422, given)


async def show_audit(asked: Asked) -> Reply:
    """GET /settings/audit: what users did, newest first."""
    before = asked.asks_id("before")
    entries = await asked.read(audit.newest, before)
    older = entries[-1].id if len(entries) == audit.PAGE else 0
    return pages.page(
        asked, 200, "settings/audit.html", here="settings", entries=entries, older=older, later=before
    )


async def _page(asked: Asked, status: int, given: Given) -> Reply:
    now = await asked.read(_chosen)
    return pages.page(
        asked,
        status,
        "settings/account.html",
        here="settings",
        given=given,
        now=now,
        zones=zones(),
        languages=LANGUAGES,
        ambiguities=AMBIGUITIES,
    )


def _chosen(rx: Rx) -> Choices:
    account = accounts.get(rx)
    opens, clicks = accounts.tracking(rx)
    return Choices(
        account.name,
        account.primary_email,
        account.postal_address or "",
        accounts.time_zone(rx),
        accounts.language(rx),
        opens,
        clicks,
        accounts.ambiguity(rx),
    )


@cache
def zones() -> list[str]:
    """Return the names of the time zones that people choose from, without old spellings of others."""
    names = (one for one in zoneinfo.available_timezones() if "/" in one and not one.startswith("Etc/"))
    return ["UTC", *sorted(names)]


ROUTES: Final = (
    Route("GET", "/settings", VIEWER, show),
    Route("POST", "/settings", OWNER, save, 65_536),
    Route("GET", "/settings/audit", VIEWER, show_audit),
)
