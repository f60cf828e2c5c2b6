"""The Outbox: mail that was kept here, as a list, one by one, and as it would have gone out."""

import shlex
from typing import Final, NamedTuple
from urllib.parse import quote

from tidings.core import accounts, deliveries, forms, outbox
from tidings.core.accounts import Account
from tidings.core.broadcasts import shown
from tidings.core.forms import Form
from tidings.core.outbox import Kept
from tidings.store.tx import Rx
from tidings.web.dashboard import frames, mail, occasions, pages
from tidings.web.dashboard.asked import Asked
from tidings.web.dashboard.occasions import Why
from tidings.web.dashboard.routing import VIEWER, Route
from tidings.web.house import House
from tidings.web.http import Reply

PAGES_MAX: Final = outbox.KEPT // outbox.PAGE

# Of a raw mail, as much as one reads; all of it can be downloaded.
RAW_SHOWN: Final = 200_000

_RAW_POLICY: Final = (b"content-security-policy", b"default-src 'none'; sandbox")


class Page(NamedTuple):
    """A page of kept mail; whom it is for and why it was made, by its delivery, where that is known."""

    kept: list[Kept]
    older: bool
    whom: dict[int, int]
    why: dict[int, Why]


class One(NamedTuple):
    """One kept mail; `subscriber_id` is 0 and `why` None where nothing is known any more."""

    raw: bytes
    subscriber_id: int
    why: Why | None


async def show_list(asked: Asked) -> Reply:
    """GET /outbox: one page of kept mail, newest first."""
    number = min(asked.page_number, PAGES_MAX)
    found = await asked.read(_page, number)
    account, form = await asked.read(first_steps)
    return pages.page(
        asked,
        200,
        "outbox.html",
        here="outbox",
        kept=found.kept,
        whom=found.whom,
        why=found.why,
        of_broadcasts=await asked.read(shown.in_outbox),
        newer=number - 1,
        older=number + 1 if found.older else 0,
        number=number,
        first=first_call(asked.house, account, form),
    )


async def show_mail(asked: Asked) -> Reply:
    """GET /outbox/{id}: one mail, as HTML, as text, or as it would go over the wire."""
    found = await asked.read(_one, asked.id())
    if found is None:
        return _missing(asked)
    letter = mail.read(found.raw)
    parts = [("raw", "Raw")]
    if letter.text:
        parts.insert(0, ("text", "Text"))
    if letter.html:
        parts[:0] = [("html", "HTML"), ("phone", "HTML on a phone")]
    part = asked.asks("part")
    part = part if part in dict(parts) else parts[0][0]
    return pages.page(
        asked,
        200,
        "mail.html",
        here="outbox",
        mail_id=asked.id(),
        letter=letter,
        part=part,
        parts=parts,
        raw=found.raw[:RAW_SHOWN].decode("utf-8", "replace") if part == "raw" else "",
        cut=len(found.raw) > RAW_SHOWN,
        subscriber_id=found.subscriber_id,
        why=found.why,
    )


async def show_body(asked: Asked) -> Reply:
    """GET /outbox/{id}/body: the HTML part, for a frame that lets nothing run."""
    raw = await asked.read(outbox.raw, asked.id())
    if raw is None:
        return _missing(asked)
    # Whoever looks here is not its reader: the pixel would count an open.
    pixel = f'src="{asked.house.links.base_url}/o/'
    return frames.mail(mail.read(raw).html.replace(pixel, 'src="data:,'))


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


def _page(rx: Rx, number: int) -> Page:
    kept = outbox.newest(rx, number)
    older = len(kept) == outbox.PAGE and bool(outbox.newest(rx, number + 1))
    origins = deliveries.origins(rx, [one.delivery_id for one in kept])
    whom = {one: whose for one, (_, whose) in origins.items()}
    return Page(kept, older, whom, occasions.words(rx, {one: why for one, (why, _) in origins.items()}))


def _one(rx: Rx, mail_id: int) -> One | None:
    found = outbox.find(rx, mail_id)
    if found is None:
        return None
    delivery_id, raw = found
    occasion, whose = deliveries.origins(rx, [delivery_id]).get(delivery_id, ("", 0))
    why = occasions.words(rx, {delivery_id: occasion})[delivery_id] if occasion else None
    return One(raw, whose, why)


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
