"""Forms: the list, one form with its numbers and how it is shared, and its words."""

import html
from typing import Final

import msgspec

from tidings.core import accounts, counters, forms, subscriptions
from tidings.core.forms import Form, FormSettings
from tidings.errors import Conflict, Problem
from tidings.web.dashboard import meanwhile, pages
from tidings.web.dashboard.asked import Asked
from tidings.web.dashboard.given import Given
from tidings.web.dashboard.meanwhile import Other
from tidings.web.dashboard.routing import EDITOR, VIEWER, Route
from tidings.web.house import House
from tidings.web.http import Reply

PAGE: Final = 50
NAME_MAX: Final = 255
TITLE_MAX: Final = 500
TEXT_MAX: Final = 10_000
URL_MAX: Final = 2_000
BUTTON_MAX: Final = 100
RECENT_MS: Final = 30 * 86_400_000
# The newest so many are looked at for the sign-ups of late: some 10 ms.
RECENT_MOST: Final = 5_000
LABELS: Final = (
    ("name", "Name"), ("title", "Title"), ("description", "Description"), ("button", "Button"),
    ("success", "Message"), ("redirect_url", "Address to go on to"), ("type", "Where it lives"),
    ("confirms", "Double opt-in"),
)  # fmt: skip


async def show_list(asked: Asked) -> Reply:
    """GET /forms: those that are open, or the archived ones."""
    archived = asked.asks("archived") == "1"
    everything = list((await asked.read(forms.all_forms)).values())
    chosen = [one for one in reversed(everything) if (one.archived_at is not None) == archived]
    number = asked.page_number
    shown = chosen[(number - 1) * PAGE : number * PAGE]
    return pages.page(
        asked,
        200,
        "forms/list.html",
        here="forms",
        forms=shown,
        totals=await asked.read(counters.totals, "form", [one.id for one in shown]),
        archived=archived,
        open_forms=sum(one.archived_at is None for one in everything),
        archived_forms=sum(one.archived_at is not None for one in everything),
        number=number,
        more=len(chosen) > number * PAGE,
    )


async def show_new(asked: Asked) -> Reply:
    """GET /forms/new"""
    return _new(asked, 200, Given())


async def make(asked: Asked) -> Reply:
    """POST /forms/new"""
    given = asked.given
    settings = _settings(given, FormSettings(name="new"))
    if given.ok:
        try:
            made = await asked.do("form.create", settings.name, forms.create, settings)
            return asked.see(f"/forms/{made}", f"The form {settings.name} is there. Now put it on your site.")
        except Problem as problem:
            given.blame(problem, "name")
    return _new(asked, 422, given)


async def show(asked: Asked) -> Reply:
    """GET /forms/{id}: its numbers, its page, and the codes that put it on a site."""
    form = await asked.read(forms.find, asked.id())
    since_at = asked.house.db.clock() - RECENT_MS
    recent = await asked.scan(subscriptions.joined_since, "form", form.id, since_at, RECENT_MOST)
    account = await asked.read(accounts.get)
    return pages.page(
        asked,
        200,
        "forms/show.html",
        here="forms",
        form=form,
        total=(await asked.read(counters.totals, "form", [form.id]))[form.id],
        recent=recent,
        recent_most=RECENT_MOST,
        link=asked.house.links.form_page(form.uid),
        codes=codes(asked.house, form, account.api_key),
    )


async def show_words(asked: Asked) -> Reply:
    """GET /forms/{id}/edit"""
    return _words(asked, 200, await asked.read(forms.find, asked.id()), Given())


async def change(asked: Asked) -> Reply:
    """POST /forms/{id}/edit"""
    given = asked.given
    form = await asked.read(forms.find, asked.id())
    version = given.number("version", "The version") or 0
    settings = _settings(given, _kept(form))
    others: list[Other] = []
    if given.ok:
        try:
            await asked.do("form.change", settings.name, forms.update, form.id, settings, version=version)
            return asked.see(f"/forms/{form.id}/edit", "Saved. Everybody who opens the form now sees it.")
        except Conflict:
            form = await asked.read(forms.find, form.id)
            meanwhile.overtaken(given, form.version, "this form")
            others = meanwhile.differences(given, LABELS, _shown(form))
        except Problem as problem:
            given.blame(problem, "name")
    return _words(asked, 422, form, given, others)


async def archive(asked: Asked) -> Reply:
    """POST /forms/{id}/archive"""
    form = await asked.read(forms.find, asked.id())
    await asked.do("form.archive", form.name, forms.archive, form.id)
    return asked.see(f"/forms/{form.id}", f"{form.name} is archived: it takes no sign-ups any more.")


async def restore(asked: Asked) -> Reply:
    """POST /forms/{id}/restore"""
    form = await asked.read(forms.find, asked.id())
    await asked.do("form.restore", form.name, forms.restore, form.id)
    return asked.see(f"/forms/{form.id}", f"{form.name} is open again.")


def codes(house: House, form: Form, api_key: str) -> dict[str, str]:
    """Return what an owner pastes into a site: a script, a frame, and plain HTML."""
    script = html.escape(house.links.form_embed(form.id, api_key, "js"))
    page = html.escape(house.links.form_page(form.uid))
    title, button = html.escape(form.title), html.escape(form.sign_up_button_text)
    return {
        "script": f'<script async src="{script}"></script>',
        "frame": f'<iframe src="{page}?frame=1" title="{title}" width="100%" height="420"'
        ' style="border:0" loading="lazy"></iframe>',
        "html": (
            f'<form method="post" action="{page}">\n'
            '  <label>First name <input name="first_name" autocomplete="given-name"></label>\n'
            '  <label>Email address <input name="email" type="email" required autocomplete="email"></label>\n'
            f'  <button type="submit">{button}</button>\n'
            "</form>"
        ),
    }


def _settings(given: Given, held: FormSettings) -> FormSettings:
    """Read the words and manner of a form; what this page does not show stays as it was."""
    name = given.text("name", "The name", needed=True, most=NAME_MAX)
    url = given.text("redirect_url", "The address", most=URL_MAX)
    if url and not _is_web(url):
        given.wrong("redirect_url", "The address must begin with https:// and name a site.")
    return msgspec.structs.replace(
        held,
        name=name,
        title=given.text("title", "The title", most=TITLE_MAX) or name,
        description=given.text("description", "The description", most=TEXT_MAX) or None,
        sign_up_button_text=given.text("button", "The button", most=BUTTON_MAX) or forms.BUTTON,
        success_message=given.text("success", "The message", most=TEXT_MAX) or forms.SUCCESS,
        redirect_url=url or None,
        type=given.choice("type", forms.TYPES, held.type),
        confirmation="double" if given.flag("confirms") else "none",
    )


def _is_web(url: str) -> bool:
    scheme, _, rest = url.partition("://")
    host = rest.partition("/")[0]
    return scheme.lower() in ("http", "https") and bool(host.strip(".")) and url.split() == [url]


def _kept(form: Form) -> FormSettings:
    return FormSettings(**{one: getattr(form, one) for one in FormSettings.__struct_fields__})


def _shown(form: FormSettings) -> dict[str, object]:
    """What stands in the fields of a form that is there."""
    return {
        "name": form.name,
        "title": form.title,
        "description": form.description,
        "button": form.sign_up_button_text,
        "success": form.success_message,
        "redirect_url": form.redirect_url,
        "type": form.type,
        "confirms": "1" if form.confirmation == "double" else "",
    }


def _new(asked: Asked, status: int, given: Given) -> Reply:
    begin = FormSettings(name="")
    return pages.page(asked, status, "forms/new.html", here="forms", given=given, shown=_shown(begin))


def _words(asked: Asked, status: int, form: Form, given: Given, others: list[Other] | None = None) -> Reply:
    return pages.page(
        asked, status, "forms/edit.html", here="forms", form=form, given=given, shown=_shown(form),
        others=others or [],
    )  # fmt: skip


ROUTES: Final = (
    Route("GET", "/forms", VIEWER, show_list),
    Route("GET", "/forms/new", EDITOR, show_new),
    Route("POST", "/forms/new", EDITOR, make),
    Route("GET", "/forms/{id}", VIEWER, show),
    Route("GET", "/forms/{id}/edit", VIEWER, show_words),
    Route("POST", "/forms/{id}/edit", EDITOR, change),
    Route("POST", "/forms/{id}/archive", EDITOR, archive),
    Route("POST", "/forms/{id}/restore", EDITOR, restore),
)
