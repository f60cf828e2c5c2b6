"""The pages of the dashboard: templates, escaping, times in words, headers."""

from datetime import UTC, datetime
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tidings.web.http import CONTENT_POLICY, Reply, html_reply

# Under `no-referrer` browsers post forms with `Origin: null`, and no check could tell them from a forgery.
_SAME_ORIGIN: Final = (b"referrer-policy", b"same-origin")
_YEAR_10000_MS: Final = 253_402_300_800_000

_templates: Final = Environment(
    loader=PackageLoader("tidings.web.dashboard"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(status: int, template: str, *, policy: str = CONTENT_POLICY, **values: object) -> Reply:
    """Render a template as an answer; every value is escaped. `seal` None shows nobody as signed in."""
    html = _templates.get_template(template).render({"seal": None, "here": "", **values})
    reply = html_reply(status, html, policy=policy)
    reply.headers = [one for one in reply.headers if one[0] != b"referrer-policy"] + [_SAME_ORIGIN]
    return reply


def message(status: int, title: str, *paragraphs: str) -> Reply:
    """A page that only says something."""
    return page(status, "message.html", title=title, paragraphs=paragraphs)


def moment(at: int) -> Markup:
    """Return a time (epoch ms) as an element: to the minute in words, exactly in its title."""
    when = datetime.fromtimestamp(min(max(at, 0), _YEAR_10000_MS - 1) / 1_000, UTC)
    exact = when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    words = f"{when.day} {when:%b} {when.year}, {when:%H:%M}"
    return Markup('<time datetime="{0}" title="{0}">{1} UTC</time>').format(exact, words)


_templates.filters["moment"] = moment
