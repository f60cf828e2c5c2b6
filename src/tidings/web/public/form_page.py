"""The form's own page and what is posted to it, by a person's browser or by the embedded script."""

import html
import math
import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit

from tidings.core import accounts, forms, signup, subscribers
from tidings.core.custom_fields import FIELDS_MAX
from tidings.core.events import Origin
from tidings.core.forms import Form
from tidings.errors import Invalid, NotFound, Problem, TooMany, Unavailable
from tidings.mail.phrases import phrase
from tidings.web import access, params
from tidings.web.house import House
from tidings.web.http import HTML_TYPE, Reply, json_reply
from tidings.web.public import pages

PREFIX: Final = "/f/"
# A field that people do not see; what fills it is a program.
TRAP: Final = "website"
SOURCE: Final = "form page"
ANY_ORIGIN: Final = (b"access-control-allow-origin", b"*")

_PHRASES: Final = {
    400: "Bad Request",
    404: "Not Found",
    410: "Gone",
    422: "Unprocessable Entity",
    503: "Service Unavailable",
}
_TAG: Final = re.compile(r"<[^>]*>")
_LINE_END: Final = re.compile(r"<(?:br|/div|/li)\b[^>]*>\n?", re.IGNORECASE)
_PARAGRAPH_END: Final = re.compile(r"</(?:p|h[1-6]|ul|ol)\b[^>]*>\s*", re.IGNORECASE)
_NOT_PRINTED: Final = re.compile(r"[\x00-\x20\x7f-\x9f]")


class Asked(NamedTuple):
    """How a page is wanted: in a frame of another site, or as JSON for the script."""

    framed: bool = False
    json: bool = False


class Mistake(NamedTuple):
    """What was wrong with a sign-up: status, words for the person, the input it belongs to."""

    status: int
    message: str
    field: str | None = None
    retry_after: int = 0


async def find(house: House, uid: str) -> tuple[int, Form]:
    """Return the account and form of a public name, or raise NotFound."""
    account_id, form_id = await house.db.read(0, forms.account_of, uid)
    return account_id, await house.db.read(account_id, forms.find, form_id)


async def find_by_id(house: House, form_id: int) -> tuple[int, Form]:
    """Return account and form by a form's id alone, or raise NotFound; archived counts as unknown."""
    account_id = await house.db.read(0, forms.account_of_id, form_id)
    form = await house.db.read(account_id, forms.find, form_id)
    if form.archived_at is not None:
        raise NotFound("form")
    return account_id, form


def show(
    form: Form,
    asked: Asked,
    *,
    lang: str = "en",
    given: Mapping[str, object] | None = None,
    mistake: Mistake | None = None,
) -> Reply:
    """The form, empty or with what was given and what is wrong with it."""
    given = given or {}
    headers = [(b"retry-after", b"%d" % mistake.retry_after)] if mistake and mistake.retry_after else []
    return pages.page(
        mistake.status if mistake else 200,
        "form.html",
        lang=lang,
        policy=_policy(form),
        headers=headers,
        bare=asked.framed,
        form=form,
        action=f"{PREFIX}{form.uid}" + ("?frame=1" if asked.framed else ""),
        description=plain(form.description),
        email=_shown(given, "email", "email_address"),
        first_name=_shown(given, "first_name"),
        kept=_kept(given),
        mistake=mistake,
    )


async def submit(
    house: House, found: tuple[int, Form], given: dict[str, object], asked: Asked, client: str
) -> Reply:
    """Sign up who filled in the form; say problems beside their inputs."""
    account_id, form = found
    lang = await house.db.read(account_id, accounts.language)
    mistake = None
    try:
        _admit(house, client)
        if not given.get(TRAP):
            await _sign_up(house, account_id, form, given, client)
    except (Problem, params.BadValue) as problem:
        mistake = _mistake(problem)
        mistake = mistake._replace(message=phrase(lang, mistake.message))
    if mistake is not None:
        return _failed(mistake) if asked.json else show(form, asked, lang=lang, given=given, mistake=mistake)
    target = redirect(form)
    if asked.json:
        said = {"status": "success", "message": form.success_message, "redirect_url": target}
        return json_reply(200, said, [ANY_ORIGIN, (b"cache-control", b"no-store")])
    if target:
        headers = [(b"location", target.encode("ascii")), (b"cache-control", b"no-store")]
        return Reply(303, b"", HTML_TYPE, headers)
    return pages.message(
        200,
        phrase(lang, "Thank you"),
        form.success_message,
        lang=lang,
        policy=_policy(form),
        bare=asked.framed,
    )


def refuse(status: int, title: str, message: str, asked: Asked) -> Reply:
    """Say that there is nothing to fill in here, as a page or as JSON."""
    if asked.json:
        said = {"error": _PHRASES[status], "message": f"{title}. {message}", "field": None}
        return json_reply(status, said, [ANY_ORIGIN])
    return pages.message(status, title, message, policy=pages.FRAMED, bare=asked.framed)


def redirect(form: Form) -> str | None:
    """Return where a form sends people afterwards, fit for a header: http and https only."""
    url = (form.redirect_url or "").strip()
    if not url or _NOT_PRINTED.search(url):
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return None
    # What is beyond ASCII is escaped as UTF-8, in host names too: browsers read both (WHATWG URL, 3.5).
    return quote(url, safe="%/:?#[]@!$&'()*+,;=-._~")


def plain(source: str | None) -> str:
    """Return the text of an owner's HTML, for a place that shows it as text."""
    if not source:
        return ""
    broken = _PARAGRAPH_END.sub("\n\n", _LINE_END.sub("\n", source))
    return html.unescape(_TAG.sub("", broken)).strip()


async def _sign_up(house: House, account_id: int, form: Form, given: dict[str, object], client: str) -> None:
    """Call the one verb; no tags, forms or sequences from a stranger."""
    email = params.text(given, "email", "email_address")
    if email is None:
        raise Invalid("Email address", "can't be blank")
    person = subscribers.person(email, params.text(given, "first_name"), _fields(given))
    await house.db.write_sorted(
        f"{person.address.mailbox}\0{person.address.key}",
        account_id,
        signup.sign_up,
        "form",
        form.id,
        person,
        signup.Also(),
        Origin(door="form", address=client, source=SOURCE, text=form.text_version),
    )


def _fields(given: Mapping[str, object]) -> dict[str, object]:
    """Return custom field values by key or `ck_field_…` name; an empty input clears nothing."""
    own = {name: value for name, value in given.items() if name.startswith("ck_field_")}
    table = given.get("fields")
    merged = {**own, **table} if isinstance(table, dict) else own
    filled = {name: value for name, value in merged.items() if value not in (None, "")}
    if len(filled) > FIELDS_MAX:
        raise Invalid("fields", "are too many")
    return filled


def _kept(given: Mapping[str, object]) -> list[tuple[str, str]]:
    """Return custom field values as inputs, so that a corrected form still sends them."""
    table = given.get("fields")
    pairs = [(name, value) for name, value in given.items() if name.startswith("ck_field_")]
    if isinstance(table, dict):
        pairs += [(f"fields[{key}]", value) for key, value in table.items()]
    return [(name, value) for name, value in pairs if isinstance(value, str) and value][:FIELDS_MAX]


def _shown(given: Mapping[str, object], *names: str) -> str:
    try:
        return params.text(given, *names) or ""
    except params.BadValue:
        return ""


def _admit(house: House, client: str) -> None:
    """Count a sign-up against its sender's network; as many a minute as the API allows a key."""
    if not house.rate_limit:
        return
    wait = house.windows.admit(f"form:{access.network_of(client)}", house.rate_limit)
    if wait:
        raise TooMany(max(1, math.ceil(wait / 1_000)))


def _mistake(problem: Problem | params.BadValue) -> Mistake:
    match problem:
        case Invalid(field="Email address", reason="can't be blank"):
            return Mistake(422, "Please enter your email address.", "email")
        case Invalid(field="Email address"):
            return Mistake(422, "This does not look like an email address. Please check it.", "email")
        case Invalid(field="First name"):
            return Mistake(422, "This name is too long. Please shorten it.", "first_name")
        case TooMany(retry_after=seconds):
            said = "Too many people signed up from your network just now. Please try again in a minute."
            return Mistake(429, said, None, seconds)
        case Unavailable():
            return Mistake(503, "This could not be saved just now. Please try again in a minute.")
        case params.BadValue(name=name) if name in ("email", "email_address", "first_name"):
            return Mistake(422, "Please enter plain text here.", name.removesuffix("_address"))
        case Invalid() | params.BadValue():
            return Mistake(422, f"{problem}.")
    raise problem


def _failed(mistake: Mistake) -> Reply:
    """Say a mistake to the script."""
    # v3's words for a limit; the others go by their status.
    error = "Rate limit exceeded" if mistake.status == 429 else _PHRASES[mistake.status]
    headers = [ANY_ORIGIN]
    if mistake.retry_after:
        headers.append((b"retry-after", b"%d" % mistake.retry_after))
    said = {"error": error, "message": mistake.message, "field": mistake.field}
    return json_reply(mistake.status, said, headers)


def _policy(form: Form) -> str:
    """Return the policy of a form's pages: browsers hold `form-action` against a redirect too."""
    if redirect(form):
        return pages.FRAMED.replace("form-action 'self'", "form-action 'self' https: http:")
    return pages.FRAMED
