"""The pages of the public door: templates, escaping, and the headers that go with them."""

from collections.abc import Iterable
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from tidings.mail.phrases import phrase
from tidings.web.http import CONTENT_POLICY, Reply, html_reply

# A form is shown in frames of other sites; nothing on it is worth a stolen click, for it knows no session.
FRAMED: Final = CONTENT_POLICY.replace("frame-ancestors 'none'", "frame-ancestors *")

_templates: Final = Environment(
    loader=PackageLoader("tidings.web.public"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(
    status: int,
    template: str,
    *,
    lang: str = "en",
    policy: str = CONTENT_POLICY,
    headers: Iterable[tuple[bytes, bytes]] = (),
    **values: object,
) -> Reply:
    """Render a template as an answer; every value is escaped, its own words are said in `lang`."""

    def say(english: str, **given: object) -> Markup:
        return escape(phrase(lang, english)).format(**given)

    html = _templates.get_template(template).render(**values, lang=lang, say=say, strong=_strong)
    return html_reply(status, html, policy=policy, headers=headers)


def _strong(value: object) -> Markup:
    return Markup("<strong>{}</strong>").format(value)


def message(
    status: int,
    title: str,
    *paragraphs: str,
    lang: str = "en",
    policy: str = CONTENT_POLICY,
    bare: bool = False,
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> Reply:
    """A page that only says something, words that are in `lang` already or in English; `bare` for a frame."""
    return page(
        status,
        "message.html",
        lang=lang,
        policy=policy,
        headers=headers,
        title=title,
        paragraphs=paragraphs,
        bare=bare,
        good=status < 400,
    )
