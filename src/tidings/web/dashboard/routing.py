"""Which page answers which address, and who may ask for it.

Every route of the dashboard is one `Route` in a table; the door walks no other way, and the
authorisation tests read the same table.
"""

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, NamedTuple

from tidings.web.dashboard.asked import Asked, Streamed
from tidings.web.http import Reply

Page = Callable[[Asked], Awaitable[Reply | Streamed]]

# Who may: anybody, whoever is signed in (for what is their own), or a role and those above it.
ANYBODY: Final = "anybody"
SIGNED_IN: Final = "signed-in"
VIEWER: Final = "viewer"
EDITOR: Final = "editor"
OWNER: Final = "owner"
RANKS: Final = {SIGNED_IN: 1, VIEWER: 1, EDITOR: 2, OWNER: 3}

# A letter of 500 KB as a form, with its signs escaped threefold.
BODY_MAX: Final = 2_097_152
# The page reads the body by itself, piece by piece, from `asked.receive`.
UNREAD: Final = -1

_HOLE: Final = re.compile(r"\{([a-z_]+)\}")
# An id, or a token of ours.
_KINDS: Final = {"id": "[0-9]{1,19}", "token": "[A-Za-z0-9_-]{1,128}", "word": "[a-z0-9-]{1,40}"}


class Route(NamedTuple):
    """One method of one address: `pattern` such as `/tags/{id}`, a hole is an id unless it is named
    `token` or `word`; `needs` one of the words above."""

    method: str
    pattern: str
    needs: str
    page: Page
    body_max: int = BODY_MAX


class Found(NamedTuple):
    """A route and what filled its holes; `route` None where the address takes other methods alone."""

    route: Route | None
    holes: dict[str, str]
    allow: bytes


class Routes:
    """All routes, found by method and path."""

    def __init__(self, table: Iterable[Route]) -> None:
        self.table = tuple(table)
        self._plain: dict[str, dict[str, Route]] = {}
        self._patterns: dict[str, tuple[re.Pattern[str], dict[str, Route]]] = {}
        for route in self.table:
            if "{" not in route.pattern:
                self._plain.setdefault(route.pattern, {})[route.method] = route
                continue
            known = self._patterns.get(route.pattern)
            if known is None:
                known = self._patterns[route.pattern] = (_compiled(route.pattern), {})
            known[1][route.method] = route

    def find(self, method: str, path: str) -> Found | None:
        """Return the route of a request; None where nothing is at that address."""
        wanted = "GET" if method == "HEAD" else method
        methods = self._plain.get(path)
        holes: dict[str, str] = {}
        if methods is None:
            for pattern, theirs in self._patterns.values():
                match = pattern.fullmatch(path)
                if match:
                    methods, holes = theirs, match.groupdict()
                    break
            else:
                return None
        allow = ", ".join(sorted([*methods, *(["HEAD"] if "GET" in methods else [])]))
        return Found(methods.get(wanted), holes, allow.encode())


def _compiled(pattern: str) -> re.Pattern[str]:
    parts = _HOLE.split(pattern)
    text = ""
    for at, part in enumerate(parts):
        text += f"(?P<{part}>{_KINDS.get(part, _KINDS['id'])})" if at % 2 else re.escape(part)
    return re.compile(text)
