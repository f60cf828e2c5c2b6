"""The mail by which a form asks for confirmation: its words, how it looks, and a test of it."""

from typing import Final, NamedTuple

import msgspec

from tidings.core import compose, forms, trials
from tidings.core.forms import Form, FormSettings
from tidings.core.trials import Trial
from tidings.errors import Conflict, Invalid, NotFound, Problem, TooMany
from tidings.store.tx import Rx
from tidings.tokens import Links
from tidings.web.dashboard import frames, meanwhile, merging, pages
from tidings.web.dashboard.asked import Asked
from tidings.web.dashboard.given import Given
from tidings.web.dashboard.meanwhile import Other
from tidings.web.dashboard.routing import EDITOR, VIEWER, Route
from tidings.web.http import Reply

SUBJECT_MAX: Final = 500
HTML_MAX: Final = 200_000
LABELS: Final = (("subject", "Subject"), ("html", "Words"))


class _Looked(NamedTuple):
    """A form with what is known of its confirmation: what it is without own words, remarks, trials."""

    form: Form
    subject: str
    usual: str
    remarks: list[str]
    trials: list[Trial]


async def show(asked: Asked) -> Reply:
    """GET /forms/{id}/confirmation"""
    looked = await asked.scan(_look, asked.id(), asked.house.links)
    return await _page(asked, 200, looked, Given())


async def show_body(asked: Asked) -> Reply:
    """GET /forms/{id}/confirmation/body: the mail as it was saved last, for a frame."""
    form = await asked.read(forms.find, asked.id())
    try:
        said = await asked.scan(compose.sample, form, asked.house.links)
    except Invalid as problem:
        return frames.said(f"{problem.message}.")
    return frames.mail(said.html)


async def change(asked: Asked) -> Reply:
    """POST /forms/{id}/confirmation"""
    given = asked.given
    form = await asked.read(forms.find, asked.id())
    version = given.number("version", "The version") or 0
    subject = given.text("subject", "The subject", most=SUBJECT_MAX)
    html = given.text("html", "The mail", most=HTML_MAX)
    held = FormSettings(**{one: getattr(form, one) for one in FormSettings.__struct_fields__})
    settings = msgspec.structs.replace(
        held, confirmation_subject=subject or None, confirmation_html=html or None
    )
    others: list[Other] = []
    if given.ok:
        try:
            await asked.scan(compose.sample, settings, asked.house.links)
            await asked.do("form.change", form.name, forms.update, form.id, settings, version=version)
            return asked.see(
                f"/forms/{form.id}/confirmation", "Saved. The next confirmation has these words."
            )
        except Conflict:
            form = await asked.read(forms.find, form.id)
            meanwhile.overtaken(given, form.version, "this form")
            others = meanwhile.differences(given, LABELS, _shown(form))
        except Problem as problem:
            given.blame(problem)
    return await _page(asked, 422, await asked.scan(_look, form.id, asked.house.links), given, others)


async def test(asked: Asked) -> Reply:
    """POST /forms/{id}/confirmation/test: to who is signed in."""
    form = await asked.read(forms.find, asked.id())
    place = f"/forms/{form.id}/confirmation"
    try:
        await asked.scan(compose.sample, form, asked.house.links)
        await asked.do("form.test", form.name, trials.ask_of_form, form.id, [asked.signed.email])
    except NotFound:
        raise
    except TooMany as problem:
        minutes = problem.retry_after // 60 + 1
        return asked.see(place, f"So many tests an hour are enough: try again in {minutes} min.", wrong=True)
    except Problem as problem:
        return asked.see(place, f"Nothing was sent: {problem.message}.", wrong=True)
    where = "the Outbox" if asked.house.sends_nothing else asked.signed.email
    return asked.see(place, f"The test is on its way to {where}. Its link leads nowhere.")


def _look(rx: Rx, form_id: int, links: Links) -> _Looked:
    form = forms.find(rx, form_id)
    plain = msgspec.structs.replace(form, confirmation_subject=None, confirmation_html=None)
    remarks = []
    try:
        subject = compose.sample(rx, form, links).subject
        remarks = [
            f"Nobody has {{{{ {one} }}}}: it is empty in every mail." for one in compose.unknown(rx, form)
        ]
        if form.confirmation_html and "confirmation_url" not in form.confirmation_html:
            remarks.append("{{ confirmation_url }} is not in it, so a link to confirm is added at its end.")
    except Invalid as problem:
        subject = ""
        remarks = [f"The {problem.message}."]
    return _Looked(
        form, subject, compose.sample(rx, plain, links).subject, remarks, trials.of_form(rx, form_id)
    )


def _shown(form: FormSettings) -> dict[str, object]:
    return {"subject": form.confirmation_subject, "html": form.confirmation_html}


async def _page(
    asked: Asked, status: int, looked: _Looked, given: Given, others: list[Other] | None = None
) -> Reply:
    return pages.page(
        asked, status, "forms/confirmation.html", policy=merging.POLICY, here="forms", form=looked.form,
        looked=looked, given=given, shown=_shown(looked.form), others=others or [],
        fallback=compose.html_of("en"), groups=await asked.read(merging.of_confirmation),
    )  # fmt: skip


ROUTES: Final = (
    Route("GET", "/forms/{id}/confirmation", VIEWER, show),
    Route("GET", "/forms/{id}/confirmation/body", VIEWER, show_body),
    Route("POST", "/forms/{id}/confirmation", EDITOR, change),
    Route("POST", "/forms/{id}/confirmation/test", EDITOR, test),
)
