"""The pages of the dashboard: templates, escaping, times and numbers in words, headers."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from tidings.core import slots
from tidings.web import files
from tidings.web.dashboard import said as notices
from tidings.web.dashboard.asked import Asked
from tidings.web.http import Reply, html_reply

# Scripts and styles of our own files alone, none within a page; frames show mail, in a sandbox.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
# Under `no-referrer` browsers post forms with `Origin: null`, and no check could tell them from a forgery.
_SAME_ORIGIN: Final = (b"referrer-policy", b"same-origin")
_YEAR_10000_MS: Final = 253_402_300_800_000
_DAY_MS: Final = 86_400_000

_templates: Final = Environment(
    loader=PackageLoader("tidings.web.dashboard"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(asked: Asked, status: int, template: str, *, policy: str = POLICY, **values: object) -> Reply:
    """Render a template as the answer; every value is escaped. `here` names the page's place in the menu.

    A sentence that the page before left is said, once.
    """
    waiting = notices.read(asked.headers)
    around = {**_around(asked), "said": waiting}
    # A page that took a name of the layout's would break the menu of just that page.
    assert not around.keys() & values.keys(), around.keys() & values.keys()  # noqa: S101 (our own mistake)
    reply = _rendered(status, template, policy, {**around, **values})
    if waiting is not None:
        reply.headers.append(notices.no_cookie(asked.house))
    return reply


def message(status: int, title: str, *paragraphs: str, asked: Asked | None = None) -> Reply:
    """A page that only says something."""
    around = _around(asked) if asked is not None else {}
    return _rendered(status, "message.html", POLICY, {**around, "title": title, "paragraphs": paragraphs})


def _rendered(status: int, template: str, policy: str, values: Mapping[str, object]) -> Reply:
    given = {"shell": None, "seal": "", "here": "", "said": None, "zone": "UTC", **values}
    html = _templates.get_template(template).render(given)
    reply = html_reply(status, html, policy=policy)
    reply.headers = [one for one in reply.headers if one[0] != b"referrer-policy"] + [_SAME_ORIGIN]
    return reply


def _around(asked: Asked) -> dict[str, object]:
    """What the layout and the parts need of a request."""
    if asked.who is None or asked.shell is None:
        return {"sends_nothing": asked.house.sends_nothing}
    role = asked.who.role
    return {
        "shell": asked.shell,
        "who": asked.who,
        # The layout's own name for it: pages about a person call them `who`.
        "signed": asked.who,
        "zone": asked.shell.zone,
        "seal": asked.seal,
        "path": asked.path,
        "sends_nothing": asked.house.sends_nothing,
        "may_edit": role in ("owner", "editor"),
        "may_own": role == "owner",
    }


def _time(at: int, zone: str) -> datetime:
    return datetime.fromtimestamp(min(max(at, 0), _YEAR_10000_MS - 1) / 1_000, slots.zone_of(zone, "UTC"))


def _exact(at: int) -> str:
    return _time(at, "UTC").astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pass_context
def moment(context: Context, at: int) -> Markup:
    """Return a time (epoch ms) as an element: in the account's zone in words, exactly in its title."""
    when = _time(at, str(context.get("zone", "UTC")))
    words = f"{when.day} {when:%b} {when.year}, {when:%H:%M}"
    exact = _exact(at)
    return Markup('<time datetime="{0}" title="{0}">{1}</time>').format(exact, f"{words}")


@pass_context
def day(context: Context, at: int) -> Markup:
    """Return the day of a time in the account's zone, exactly in its title."""
    when = _time(at, str(context.get("zone", "UTC")))
    exact = _exact(at)
    return Markup('<time datetime="{0}" title="{0}">{1}</time>').format(
        exact, f"{when.day} {when:%b} {when.year}"
    )


def utc_day(at: int) -> str:
    """Return the UTC day of a time: what counters count by."""
    when = _time(at, "UTC")
    return f"{when.day} {when:%b} {when.year}"


def number(value: float | None) -> str:
    """Return a number with its thousands set apart."""
    return "–" if value is None else f"{value:,}"


def share(part: float, whole: float) -> str:
    """Return a part of a whole in percent; a dash where there is no whole."""
    if not whole:
        return "–"
    percent = 100 * part / whole
    return f"{percent:.0f} %" if percent >= 10 or percent == int(percent) else f"{percent:.1f} %"


def counted(n: int, one: str, many: str = "") -> str:
    """Return a number with its noun: 1 person, 2 people."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def octets(size: int) -> str:
    """Return the size of a file in words: 700 bytes, 1.5 MB."""
    for unit, whole in (("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1_000)):
        if size >= whole:
            return f"{size / whole:.1f} {unit}".replace(".0 ", " ")
    return counted(size, "byte")


def span(ms: int) -> str:
    """Return a length of time in words: 3 days, 2 hours, 20 seconds."""
    for unit, size in (("day", _DAY_MS), ("hour", 3_600_000), ("minute", 60_000)):
        if ms >= size and (ms % size == 0 or ms >= 2 * size):
            return counted(round(ms / size), unit)
    return counted(max(round(ms / 1_000), 0), "second")


_filters: Final[dict[str, Any]] = {
    "moment": moment, "day": day, "utc_day": utc_day, "number": number, "share": share,
    "counted": counted, "span": span,
    "bytes": octets,
}  # fmt: skip
_templates.filters.update(_filters)
_templates.globals["static"] = files.address
