"""The Outbox: mail that was kept here, as a list, one by one, and as it would have gone out."""

import shlex
from typing import Final
from urllib.parse import quote

from tidings.core import accounts, deliveries, forms, outbox
from tidings.core.accounts import Account
from tidings.core.broadcasts import shown
from tidings.core.forms import Form
from tidings.core.outbox import Kept
from tidings.store.tx import Rx
from tidings.web.dashboard import frames, mail, pages
from tidings.web.dashboard.asked import Asked
from tidings.web.dashboard.routing import VIEWER, Route
from tidings.web.house import House
from tidings.web.http import Reply

PAGES_MAX: Final = outbox.KEPT // outbox.PAGE

_RAW_POLICY: Final = (b"content-security-policy", b"default-src 'none'; sandbox")


async def show_list(asked: Asked) -> Reply:
    """GET /outbox: one page of kept mail, newest first."""
    number = min(asked.page_number, PAGES_MAX)
    kept, older, occasions = await asked.read(_page, number)
    account, form = await asked.read(first_steps)
    return pages.page(
        asked,
        200,
        "outbox.html",
        here="outbox",
        kept=kept,
        broadcast_of={one: _broadcast_of(occasion) for one, occasion in occasions.items()},
        of_broadcasts=await asked.read(shown.in_outbox),
        newer=number - 1,
        older=number + 1 if older else 0,
        number=number,
        first=first_call(asked.house, account, form),
    )


async def show_mail(asked: Asked) -> Reply:
    """GET /outbox/{id}: one mail."""
    raw = await asked.read(outbox.raw, asked.id())
    if raw is None:
        return _missing(asked)
    letter = mail.read(raw)
    return pages.page(asked, 200, "mail.html", here="outbox", mail_id=asked.id(), letter=letter)


async def show_body(asked: Asked) -> Reply:
    """GET /outbox/{id}/body: the HTML part, for a frame that lets nothing run."""
    raw = await asked.read(outbox.raw, asked.id())
    if raw is None:
        return _missing(asked)
    return frames.mail(mail.read(raw).html)


async def show_raw(asked: Asked) -> Reply:
    """GET /outbox/{id}/raw: the message itself, as a file."""
    raw = await asked.read(outbox.raw, asked.id())
    if raw is None:
        return _missing(asked)
    headers = [
        (b"content-disposition", b'attachment; filename="mail-%d.eml"' % asked.id()),
        (b"x-content-type-options", b"nosniff"),
        (b"cache-control", b"no-store"),
        _RAW_POLICY,
    ]
    return Reply(200, raw, b"text/plain; charset=utf-8", headers)


def _missing(asked: Asked) -> Reply:
    """Say that a mail is not there, whosever it is."""
    words = f"The Outbox keeps the newest {outbox.KEPT:,} mails; older ones are removed."
    return pages.message(404, "This mail is not here", words, asked=asked)


def _page(rx: Rx, number: int) -> tuple[list[Kept], bool, dict[int, str]]:
    """Return a page, whether older mail follows it, and why each mail was made, by its delivery."""
    kept = outbox.newest(rx, number)
    older = len(kept) == outbox.PAGE and bool(outbox.newest(rx, number + 1))
    return kept, older, deliveries.occasions(rx, [one.delivery_id for one in kept])


def _broadcast_of(occasion: str) -> str:
    """Say which broadcast or sequence a mail belongs to; blank for a single mail."""
    kind, _, rest = occasion.partition(":")
    if kind == "broadcast":
        return f"broadcast {rest}"
    return "sequence" if kind == "sequence-email" else ""


def first_steps(rx: Rx) -> tuple[Account, Form | None]:
    """Return the account and a form that a first sign-up could go to: one that sends a confirmation."""
    living = [one for one in forms.all_forms(rx).values() if one.archived_at is None]
    asking = [one for one in living if one.confirmation == "double"]
    return accounts.get(rx), next(iter(asking or living), None)


def first_call(house: House, account: Account, form: Form | None) -> dict[str, str] | None:
    """Return the curl of a first sign-up, as it can be pasted, and the form's page."""
    if form is None:
        return None
    url = f"{house.links.base_url}/v3/forms/{form.id}/subscribe"
    key = shlex.quote(f"api_key={quote(account.api_key)}")
    return {
        "curl": f"curl {shlex.quote(url)} \\\n  -d {key} \\\n  -d email=ada@example.com",
        "page": house.links.form_page(form.uid),
        "title": form.title,
    }


ROUTES: Final = (
    Route("GET", "/outbox", VIEWER, show_list),
    Route("GET", "/outbox/{id}", VIEWER, show_mail),
    Route("GET", "/outbox/{id}/body", VIEWER, show_body),
    Route("GET", "/outbox/{id}/raw", VIEWER, show_raw),
)
