"""Composing: from a claimed delivery to the message that its person gets. Owns no table."""

import html
import re
from collections.abc import Mapping

import msgspec

from tidings.core import accounts, custom_fields, forms, subscribers, subscriptions
from tidings.core.deliveries import Delivery, Letter
from tidings.core.forms import FormSettings
from tidings.errors import Invalid, NotFound, Problem
from tidings.mail import address, message, render
from tidings.mail.phrases import phrase, say
from tidings.store.tx import Rx
from tidings.tokens import Links

SUBJECT = "Please confirm your subscription"
_TAGS = re.compile(r"<[^>]*>")
_BLANK = re.compile(r"\n{3,}")

# An address of 100 characters is broken where a phone ends.
PAGE = (
    '<!doctype html><html lang="{}"><body style="font:16px/1.5 sans-serif;color:#1a1a1a;'
    'overflow-wrap:anywhere">{}</body></html>'
)
_BUTTON = (
    "display:inline-block;padding:12px 20px;border-radius:6px;background:#1d4ed8;color:#ffffff;"
    "text-decoration:none;font-weight:600"
)
_ACCOUNT = "{{ account.name }}"
_FORM = "{{ form.title }}"
_URL = "{{ confirmation_url }}"


def _greeting(hello: str) -> str:
    return (
        f"{{% if subscriber.first_name != blank %}}{hello} {{{{ subscriber.first_name }}}},"
        f"{{% else %}}{hello},{{% endif %}}"
    )


def html_of(lang: str) -> str:
    """Return the Liquid of a confirmation whose owner has written none, in a language."""
    asks = say(lang, _ASKS, account=f"<strong>{_ACCOUNT}</strong>")
    return f"""<p>{_greeting(phrase(lang, "Hello"))}</p>
<p>{asks}
{say(lang, _ENTERED, form=_FORM)}</p>
<p><a href="{_URL}" style="{_BUTTON}">{phrase(lang, _CONFIRM)}</a></p>
<p style="color:#555555;font-size:14px">{phrase(lang, _ELSE)}<br>
<a href="{_URL}">{_URL}</a></p>
<p style="color:#555555;font-size:14px">{phrase(lang, _NOT_YOU)}</p>
"""


def text_of(lang: str) -> str:
    """Return the same as text."""
    return f"""{_greeting(phrase(lang, "Hello"))}

{say(lang, _ASKS, account=_ACCOUNT)}
{say(lang, _ENTERED, form=_FORM)}

{phrase(lang, _CONFIRM)}:
{_URL}

{phrase(lang, _NOT_YOU)}
"""


_ASKS = "Please confirm that you want to hear from {account}."
_ENTERED = "You, or somebody who knows your address, entered it in the form “{form}”."
_CONFIRM = "Confirm your subscription"
_ELSE = "If the button does not work, open this address:"
_NOT_YOU = "If it was not you, do nothing: you will not hear from us again."


class Unfit(Problem):
    """This delivery can never be composed; the message says why."""


class Words(msgspec.Struct, frozen=True):
    """A confirmation in words."""

    subject: str
    html: str
    text: str


class _Person(msgspec.Struct, frozen=True):
    first_name: str | None
    email: str
    fields: Mapping[str, str | None]


_NOBODY = object()


def letter(rx: Rx, delivery: Delivery, links: Links) -> Letter:
    """Compose a delivery of the account at hand, or raise Unfit."""
    kind, _, rest = delivery.occasion.partition(":")
    if kind != "confirm":
        raise Unfit(f"nothing is known of the occasion {kind}")
    try:
        return _confirmation(rx, delivery, int(rest.partition(":")[0]), links)
    except NotFound as problem:
        raise Unfit(problem.message) from problem
    except ValueError as problem:
        raise Unfit(f"the content cannot be made into a message: {problem}") from problem


def sample(rx: Rx, form: FormSettings, links: Links) -> Words:
    """Return the confirmation of a form as somebody with a first name would get it; its link leads nowhere.

    Raises Invalid, for the subject or the HTML that cannot be made into a mail.
    """
    fields = {one.key: None for one in custom_fields.all_fields(rx)}
    for field, source in (("subject", form.confirmation_subject), ("html", form.confirmation_html)):
        try:
            render.compile(source or "", html=field == "html")
        except ValueError as problem:
            raise Invalid(field, f"cannot be read: {problem}") from problem
    try:
        return _words(rx, form, _Person("Ada", "ada@example.com", fields), links.confirm(0, 0, 0))
    except ValueError as problem:
        raise Invalid("html", f"cannot be made into a mail: {problem}") from problem


def unknown(rx: Rx, form: FormSettings) -> list[str]:
    """Return the names in a form's confirmation that nobody has: they are empty in every mail."""
    known = _values(rx, form, _Person(None, "", {one.key: None for one in custom_fields.all_fields(rx)}), "")
    found: dict[str, None] = {}
    for source, is_html in ((form.confirmation_subject, False), (form.confirmation_html, True)):
        for path in render.compile(source or "", html=is_html).names():
            inner: object = known
            for part in path:
                inner = inner.get(part, _NOBODY) if isinstance(inner, dict) else _NOBODY
            if inner is _NOBODY:
                found[".".join(path)] = None
    return list(found)


def trial(rx: Rx, form_id: int, to: str, stands_for: Delivery, links: Links) -> Letter:
    """Compose a form's confirmation for an address that only looks at it, or raise Unfit."""
    try:
        form = forms.find(rx, form_id)
        return _letter(rx, stands_for, _Person("Ada", to, {}), sample(rx, form, links), mark="[Test] ")
    except (NotFound, Invalid) as problem:
        raise Unfit(problem.message) from problem


def _confirmation(rx: Rx, delivery: Delivery, subscription_id: int, links: Links) -> Letter:
    subscription = subscriptions.get(rx, subscription_id)
    who = subscribers.get(rx, subscription.subscriber_id)
    form = forms.find(rx, subscription.ref_id)
    person = _Person(who.first_name, who.email, who.fields)
    url = links.confirm(rx.account_id, subscription_id, delivery.created_at)
    return _letter(rx, delivery, person, _words(rx, form, person, url))


def _values(rx: Rx, form: FormSettings, who: _Person, url: str) -> dict[str, object]:
    account = accounts.get(rx)
    return {
        "subscriber": {"first_name": who.first_name, "email_address": who.email, **who.fields},
        "account": {"name": account.name or account.primary_email},
        "form": {"title": form.title, "name": form.name},
        "confirmation_url": url,
    }


def _words(rx: Rx, form: FormSettings, who: _Person, url: str) -> Words:
    values = _values(rx, form, who, url)
    lang = accounts.language(rx)
    source = form.confirmation_html or html_of(lang)
    body = render.compile(source, html=True).render(values)
    if url not in html.unescape(body):
        body += f'<p><a href="{html.escape(url)}">{phrase(lang, _CONFIRM)}</a></p>'
    text = (
        _plain(body) if form.confirmation_html else render.compile(text_of(lang), html=False).render(values)
    )
    subject = render.compile(form.confirmation_subject or phrase(lang, SUBJECT), html=False).render(values)
    return Words(subject, PAGE.format(lang, body), text)


def _letter(rx: Rx, delivery: Delivery, who: _Person, said: Words, *, mark: str = "") -> Letter:
    account = accounts.get(rx)
    subject = mark + said.subject
    # The same id at every attempt: whoever gets it twice sees one mail.
    domain = account.primary_email.rpartition("@")[2]
    made = message.Message(
        from_name=account.name,
        from_address=account.primary_email,
        to_name=who.first_name or "",
        to_address=who.email,
        reply_to=None,
        subject=subject,
        text=said.text,
        html=said.html,
        message_id=f"{delivery.account_id}.{delivery.id}.{delivery.created_at}@{domain}",
        date_ms=delivery.created_at,
        headers=(("Auto-Submitted", "auto-generated"),),
    )
    return Letter(
        delivery,
        address.with_ascii_domain(account.primary_email),
        address.with_ascii_domain(who.email),
        subject,
        message.build(made),
        message.needs_smtputf8(made),
    )


def _plain(body: str) -> str:
    """Return the text part of an owner's HTML: links keep their address."""
    linked = re.sub(r'<a\b[^>]*href="([^"]*)"[^>]*>(.*?)</a>', r"\2 ( \1 )", body, flags=re.S | re.I)
    broken = re.sub(r"<(br|/p|/div|/h[1-6]|/li)\b[^>]*>", "\n", linked, flags=re.I)
    return _BLANK.sub("\n\n", html.unescape(_TAGS.sub("", broken))).strip() + "\n"
