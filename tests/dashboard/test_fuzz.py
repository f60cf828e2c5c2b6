"""Hostile values in every field and parameter that the pages read: no 500, nothing half done, no way out."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

import pytest

from tests.core.recount import recount
from tests.dashboard import reading, samples
from tests.dashboard.asking import OURS, Asking, Who, changed
from tests.dashboard.world import Template
from tests.web.asgi import FORM, Answer
from tidings.core import tags
from tidings.store.tx import Tx
from tidings.web.dashboard import door, pages
from tidings.web.dashboard.asked import Asked
from tidings.web.dashboard.routes import ROUTES
from tidings.web.dashboard.routing import ANYBODY, EDITOR, VIEWER, Route
from tidings.web.http import Reply, html_reply

PLANTED: Final = "\"'><planted onclick=x>"
# As a form brings them: each is text, or octets that are none.
TEXTS: Final = (
    b"",
    b" ",
    b"\0",
    b"a\0b",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\xc0\xaf",
    "\u202e\ufeff\u2028".encode(),
    PLANTED.encode(),
    b"x" * 501,
    b"x" * 20_000,
    b"\r\nset-cookie: a=b",
    b"0",
    b"-1",
    b"1",
    b"2",
    b"9223372036854775807",
    b"9223372036854775808",
    b"1" * 400,
    b"1e400",
    b"0x10",
    "\u0663\u0664".encode(),
    b"NaN",
    b"true",
    b"null",
    b"[1]",
    b'{"a":1}',
    b"//evil.example/",
    b"https://evil.example/",
    b"javascript:alert(1)",
    b"/\\evil.example",
    b"{{ subscriber.email_address }}",
    b"{% for x in (1..99999999) %}x{% endfor %}",
    b"{{ 'a' | nothing",
    b"{% if %}",
    b"2027-13-45T99:99",
    b"0001-01-01T00:00",
    b"9999-12-31T23:59",
    b"24:00",
    b"' OR 1=1 --",
    b"%",
    b"_",
    b'*"(',
    b"a@b",
    b"a@b@c.example",
    "\u00e9@\u00e9.example".encode(),
    b"=cmd|' /C calc'!A0",
    "e\u0301".encode() * 300,
)
# As a script may send them: JSON of another kind than the field's.
VALUES: Final[tuple[object, ...]] = (
    None,
    True,
    False,
    0,
    -1,
    2**63,
    10**30,
    1.5,
    1e308,
    [],
    [[]],
    ["a", None, {"b": 1}],
    {},
    {"0": "1"},
    "\ud800",
    "x" * 70_000,
    [1, 2, 3],
    ["1"] * 2_000,
    {"a": {"b": {"c": 1}}},
    "\x00",
)
BODIES: Final = (
    (b"{", "application/json"),
    (b"[]", "application/json"),
    (b"null", "application/json"),
    (b'"a"', "application/json"),
    (b"[" * 5_000, "application/json"),
    (b"\xff", "application/json"),
    (b"a=%zz&&&=&a[=1&a]=2&[]=3", FORM),
    (b"a[b][c][d][e][f][g][h][i][j]=1", FORM),
    (b"&".join(b"a%d=1" % n for n in range(3_000)), FORM),
    (b"--b\r\n", "multipart/form-data; boundary=b"),
    (b"x", "multipart/form-data"),
    (b"x", "text/plain"),
    (b"x", ""),
    (b"x", "application/x-www-form-urlencoded; charset=utf-16"),
    (b"\0" * 1_000, "application/octet-stream"),
)
IDS: Final = (
    "0",
    "1",
    "9223372036854775807",
    "9223372036854775808",
    "1000000000000000000",
    "9999999999999999999",
    "00000",
)
# Bodies for each route in `make test`.
BODIES_MOST: Final = 45
PROOF: Final = bool(os.environ.get("TIDINGS_PROOF"))
POSTS: Final = [one for one in ROUTES if one.method == "POST"]
GETS: Final = [one for one in ROUTES if one.method == "GET"]


def _name(route: Route) -> str:
    return f"{route.method} {route.pattern}"


@pytest.mark.parametrize("route", POSTS, ids=_name)
def test_no_form_value_breaks_a_page(asking: Asking, route: Route) -> None:
    attack(asking, route)


@pytest.mark.parametrize("route", GETS, ids=_name)
def test_no_parameter_breaks_a_page(asking: Asking, route: Route) -> None:
    owner = asking.who("owner")
    path = next(iter(samples.fillings(asking.world, route, asking.world.ada.id)))
    for name in sorted(reading.parameters_of(asking, path, owner)):
        for value in TEXTS:
            if len(value) < 8_000:
                answer = asking.ask("GET", f"{path}?{name}={quote(value)}", owner)
                _sound(answer, f"GET {path}?{name}={value!r}")


@pytest.mark.parametrize("route", [one for one in ROUTES if "{" in one.pattern], ids=_name)
def test_no_id_of_a_path_breaks_a_page(asking: Asking, route: Route) -> None:
    owner = asking.who("owner")
    before = asking.world.dump()
    for value in IDS:
        path = re.sub(r"\{[a-z_]+\}", value, route.pattern)
        answer = asking.ask("GET", path, owner) if route.method == "GET" else asking.post(path, owner)
        _sound(answer, f"{route.method} {path}")
        if route.needs != ANYBODY:
            assert answer.status in (303, 404, 422), f"{route.method} {path} answered {answer.status}"
    assert not changed(before, asking.world.dump())


def attack(asking: Asking, route: Route) -> None:
    """Post hostile forms to a route; whatever is refused has changed nothing, and the counters stay true."""
    owner = asking.who("owner")
    path = next(iter(samples.fillings(asking.world, route, asking.world.ada.id)))
    given = reading.fields_of(asking, path, owner)
    before = asking.world.dump()
    bodies = list(_bodies(given, owner))
    # A form of 80 fields has 300 of them; `make proof` sends them all.
    for body, kind in bodies if PROOF else bodies[:: max(1, len(bodies) // BODIES_MOST)]:
        answer = asking.ask("POST", path, owner, body, {**OURS, "content-type": kind, "x-seal": owner.seal})
        what = f"POST {path} with {body[:300]!r} as {kind}"
        _sound(answer, what)
        after = asking.world.dump()
        if answer.status >= 400:
            tables = changed(before, after)
            assert not tables, f"{what} was refused ({answer.status}) and changed {', '.join(tables)}"
        before = after
        if route.pattern == "/sign-out":
            return
    recount(asking.world.db)


def _bodies(given: Mapping[str, str], who: Who) -> Iterator[tuple[bytes, str]]:
    """Yield hostile bodies: each value once in each field, all at once in others, then whole bodies."""
    names = list(given)
    for at in range(len(TEXTS) if names else 0):
        every = {name: TEXTS[(at + n) % len(TEXTS)] for n, name in enumerate(names)}
        yield _form(every, who), FORM
        # One field hostile and the others as they should be: the refusal is this field's.
        name = names[at % len(names)]
        yield _form({**_octets(given), name: TEXTS[at]}, who), FORM
    for at, value in enumerate(VALUES if names else ()):
        some: dict[str, object] = {**given, "seal": who.seal}
        for n, name in enumerate(names):
            if at % 2 or n == at % len(names):
                some[name] = value
        yield json.dumps(some).encode(), "application/json"
    for name in names:
        yield _form({**_octets(given), f"{name}[]": b"1", f"{name}[a]": b"2"}, who), FORM
    yield from BODIES


def _octets(given: Mapping[str, str]) -> dict[str, bytes]:
    return {name: value.encode() for name, value in given.items()}


def _form(given: Mapping[str, bytes], who: Who) -> bytes:
    return urlencode({"seal": who.seal.encode(), **given}).encode()


def _sound(answer: Answer, what: str) -> None:
    """No 500, no way off our site, no element that somebody wrote into a field."""
    assert answer.status < 500, f"{what} answered {answer.status}"
    place = answer.headers.get("location", answer.headers.get("hx-redirect", "/"))
    assert re.fullmatch(r"/(?:[^/\\].*)?", place), f"{what} leads to {place!r}"
    if answer.headers.get("content-type", "").startswith("text/html"):
        assert b"<planted" not in answer.body, f"{what} is written into the page as it came"


# -- each check is seen to be red -----------------------------------------------------


async def _breaks(asked: Asked) -> Reply:
    return asked.see(f"/tags?at={int(asked.given.text('at'))}")


async def _half_done(asked: Asked) -> Reply:
    name = asked.given.text("name", needed=True)
    await asked.do("tag.create", "", tags.create, [f"tag {len(name)}"])
    return asked.see("/tags") if asked.given.ok else pages.message(422, "No")


async def _miscounts(asked: Asked) -> Reply:
    def verb(tx: Tx) -> None:
        tx.run("DELETE FROM counters WHERE account_id = :a AND kind = 'tag'", a=tx.account_id)

    await asked.do("subscriber.erase", "", verb)
    return asked.see("/tags")


async def _leads_away(asked: Asked) -> Reply:
    return asked.see(asked.given.text("next") or "/")


async def _writes_it_out(asked: Asked) -> Reply:
    return html_reply(200, f"<p>{asked.given.text('name')}</p>", policy="")


BUGS: Final = {
    "a number is taken for granted": (_breaks, ValueError),
    "done before it is checked": (_half_done, AssertionError),
    "not counted": (_miscounts, AssertionError),
    "leads away": (_leads_away, AssertionError),
    "not escaped": (_writes_it_out, AssertionError),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_seen(
    bug: str, template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, error = BUGS[bug]
    route = Route("POST", "/tags", EDITOR, page)
    monkeypatch.setattr(door, "ROUTES", (route,))
    world = template.copied(tmp_path)
    try:
        with Asking(world) as asking, pytest.raises(error):
            attack(asking, route)
    finally:
        world.db.close()


def test_fields_and_parameters_are_found_by_what_a_page_reads(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def page(asked: Asked) -> Reply:
        given = asked.given
        kind = given.choice("kind", ("one", "two"))
        if kind == "one":
            given.number("n", least=3)
        return pages.message(200 if asked.asks("q") and given.value("later") else 422, "A page")

    monkeypatch.setattr(door, "ROUTES", (Route("POST", "/x", EDITOR, page), Route("GET", "/x", VIEWER, page)))
    asking.door = door.Door(asking.world.house)
    owner = asking.who("owner")
    assert reading.fields_of(asking, "/x", owner).items() >= {"kind": "one", "n": "3"}.items()
    assert reading.parameters_of(asking, "/x", owner) == {"q", "page"}
