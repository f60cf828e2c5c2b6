"""What must hold of every route, whoever asks: the checks of the matrix, which raise with a sentence."""

import re
from typing import Final

from tests.dashboard import samples
from tests.dashboard.asking import FOREIGN, OURS, OUTSIDE, ROLES, Asking, Who, changed, sent_to_sign_in
from tests.web.asgi import Answer
from tidings.web.dashboard.routing import ANYBODY, EDITOR, OWNER, RANKS, UNREAD, Route

# An id that nothing has; as long as those of large installations.
MISSING: Final = 998_877_665_544
_OWN: Final = ("password", "factor", "factor/confirm", "factor/end", "sessions", "sessions/{id}")
# POST routes that need less than an editor, and why.
LESSER: Final = {
    "/sign-in": "who signs in is nobody yet",
    "/sign-in/code": "who signs in is nobody yet",
    "/sign-in/link": "who signs in is nobody yet",
    "/sign-in/{token}": "the token is the credential",
    "/sign-out": "one's own session",
    "/accounts/{id}": "which of one's own accounts is shown",
    **dict.fromkeys(
        ("/settings/you", *(f"/settings/you/{one}" for one in _OWN)), "one's own name, ways in and sessions"
    ),
}
# What an owner of one account may not do where there are others, and why.
OF_ALL: Final = {
    "/settings/backups": "a backup holds every account",
    "/settings/backups/download": "a backup holds every account",
    "/sending/resume": "it lets the mail of every account go",
}
_BOUND: Final = "the bound of these tests"


def needs_enough(route: Route) -> None:
    """A POST route needs an editor or an owner, or stands in LESSER."""
    if route.method == "POST" and route.needs not in (EDITOR, OWNER):
        assert route.pattern in LESSER, (
            f"POST {route.pattern} may be used by {route.needs}. It should need EDITOR or OWNER; if what it"
            " changes is the user's own, say so in LESSER of tests/dashboard/matrix.py."
        )
    if route.method == "GET" and route.needs == ANYBODY:
        assert route.pattern.startswith("/sign-in"), f"GET {route.pattern} is shown to anybody"


def look_changes_nothing(asking: Asking, route: Route) -> None:
    """GET and HEAD change no row, whoever asks, and are shown to whom the route says, and nobody else."""
    world = asking.world
    paths = list(samples.fillings(world, route, world.ada.id))
    before = world.dump()
    shown = []
    for path in paths:
        for name in (*ROLES, *OUTSIDE):
            for method in ("GET", "HEAD"):
                answer = asking.ask(method, path, asking.who(name))
                _expect(answer, f"{method} {path} as {name}", route, name)
                if name == "owner" and method == "GET":
                    shown.append(answer.status)
        tricky = (
            f"{path}?page=2&save=1&confirm=1&delete=1&_method=POST&undo=1&seal={asking.who('owner').seal}"
        )
        assert asking.ask("GET", tricky, asking.who("owner")).status < 500
    tables = changed(before, world.dump())
    assert not tables, f"a look at {route.pattern} changed rows of {', '.join(tables)}"
    assert any(status in (200, 303) for status in shown), (
        f"GET {route.pattern} shows no sample: {paths} answered {shown}. Give it one in BY_PATTERN of"
        " tests/dashboard/samples.py."
    )


def refusals_change_nothing(asking: Asking, route: Route) -> None:
    """A POST from elsewhere, without its seal, or by somebody who may not, is refused and changes no row."""
    world, pattern = asking.world, route.pattern
    before = world.dump()
    for path in samples.fillings(world, route, world.ada.id):
        owner = asking.who("owner")
        for headers in FOREIGN:
            answer = asking.ask("POST", path, owner, {"seal": owner.seal}, headers)
            assert answer.status == 403, f"POST {path} with {headers} answered {answer.status}"
        if route.needs == ANYBODY:
            continue
        for name in (*ROLES, *OUTSIDE):
            who = asking.who(name)
            for seal in ("", "0" * 64, asking.who("eve.owner").seal, owner.seal[:-1], owner.seal.upper()):
                answer = _post(asking, route, path, who, seal)
                refused = answer.status == 403 or sent_to_sign_in(answer)
                assert refused, f"POST {path} as {name} with a wrong seal answered {answer.status}"
            if name in OUTSIDE or RANKS[name] < RANKS[route.needs]:
                _expect(_post(asking, route, path, who, who.seal), f"POST {path} as {name}", route, name)
    tables = changed(before, world.dump())
    assert not tables, f"a refused POST {pattern} changed rows of {', '.join(tables)}"


def post_is_let_in(asking: Asking, route: Route) -> None:
    """Whoever a route is for is not refused: with an empty form, something is done or said beside a field."""
    path = next(iter(samples.fillings(asking.world, route, asking.world.ada.id)))
    least = next(one for one in ROLES if RANKS[one] >= RANKS.get(route.needs, 0))
    who = asking.who(least)
    answer = _post(asking, route, path, who, who.seal)
    allowed = answer.status in (200, 303, 400, 404, 409, 422, 429)
    if route.pattern in OF_ALL:
        assert answer.status == 403, (
            f"POST {path} as {least}, of one account of two, answered {answer.status}"
        )
        return
    if route.needs != ANYBODY:
        assert allowed, f"POST {path} as {least} answered {answer.status}"
        if route.pattern != "/sign-out":
            assert not sent_to_sign_in(answer), f"POST {path} as {least} was sent to sign in"
    assert answer.status < 500


def strangers_see_nothing(asking: Asking, route: Route) -> None:
    """An id of another account answers as one that is not there, and nothing of either account changes."""
    world = asking.world
    if not any(hole not in ("word", "token") for hole, _ in samples.holes(route.pattern)):
        return
    owner = asking.who("owner")
    before = world.dump()
    theirs = list(samples.fillings(world, route, world.eve.id))
    ours = next(iter(samples.fillings(world, route, world.ada.id)))
    for path in _mixed(route, ours, theirs):
        missing = _missing(route, path, ours)
        there, nowhere = (_as(asking, route.method, one, owner) for one in (path, missing))
        told, untold = (_without_ids(answer, path, missing) for answer in (there, nowhere))
        assert there.status in (303, 403, 404, 422), f"{route.method} {path} answered {there.status}"
        assert told == untold, (
            f"{route.method} {path} (an id of another account) answers {told[0]}, {missing} (no id at all)"
            f" {untold[0]}: whoever asks learns that it exists"
        )
    tables = changed(before, world.dump())
    assert not tables, f"{route.method} {route.pattern} with another account's id changed {', '.join(tables)}"


def _post(asking: Asking, route: Route, path: str, who: Who, seal: str) -> Answer:
    """Post an empty form; to a page that reads its body by itself, a small file in parts (RFC 7578)."""
    if route.body_max != UNREAD:
        return asking.ask("POST", path, who, {"seal": seal}, OURS)
    parts = (('name="seal"', seal), ('name="file"; filename="people.csv"', "Email\r\nnew@example.com\r\n"))
    body = "".join(
        f"--{_BOUND}\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n" for head, value in parts
    )
    kind = {"content-type": f'multipart/form-data; boundary="{_BOUND}"'}
    return asking.ask("POST", path, who, f"{body}--{_BOUND}--\r\n".encode(), {**OURS, **kind})


def _as(asking: Asking, method: str, path: str, who: Who) -> Answer:
    return asking.ask("GET", path, who) if method == "GET" else asking.post(path, who)


def _mixed(route: Route, ours: str, theirs: list[str]) -> list[str]:
    """Return their paths, and for several holes also ours with one hole of theirs."""
    found = list(theirs)
    slots = _slots(route)
    if len(slots) > 1:
        mine, other = ours.split("/"), theirs[0].split("/")
        for at in slots:
            mixed = list(mine)
            mixed[at] = other[at]
            found.append("/".join(mixed))
    return found


def _missing(route: Route, path: str, ours: str) -> str:
    """Return a path with ids that nothing has where it differs from ours."""
    parts, mine = path.split("/"), ours.split("/")
    for at in _slots(route):
        if parts[at] != mine[at]:
            parts[at] = re.sub("[0-9]+", str(MISSING), parts[at], count=1)
    return "/".join(parts)


def _slots(route: Route) -> list[int]:
    """Return which parts of a path hold an id."""
    parts = route.pattern.split("/")
    return [at for at, one in enumerate(parts) if "{" in one and one not in ("{word}", "{token}")]


def _without_ids(answer: Answer, *paths: str) -> tuple[int, str, bytes]:
    """Return an answer without the ids that were asked for."""
    body, place = answer.body, answer.headers.get("location", "")
    for one in set(re.findall("[0-9]+", " ".join(paths))):
        pattern = rf"(?<![0-9]){one}(?![0-9])"
        body = re.sub(pattern.encode(), b"ID", body)
        place = re.sub(pattern, "ID", place)
    return answer.status, place, body


def _expect(answer: Answer, what: str, route: Route, name: str) -> None:
    """Check an answer to a look, or to a POST by one who may not."""
    if route.needs == ANYBODY:
        assert answer.status < 500, f"{what} answered {answer.status}"
    elif name in OUTSIDE:
        assert sent_to_sign_in(answer), f"{what} answered {answer.status} instead of asking to sign in"
    elif RANKS[name] < RANKS[route.needs]:
        assert answer.status == 403, f"{what} answered {answer.status} instead of 403"
    else:
        told = not sent_to_sign_in(answer) and answer.status not in (401, 403) and answer.status < 500
        assert told, f"{what} answered {answer.status}"
