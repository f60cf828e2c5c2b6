"""What fills the holes of the routes' patterns: ids of the world by the noun before the hole.

A new page whose noun is not here fails `test_every_hole_has_a_sample`, which says what to add.
"""

import re
from collections.abc import Iterator
from typing import Final

from tests.dashboard.world import World
from tidings.web.dashboard.routing import Route

# By the last plain part of the pattern before the hole: an id of the account `:a`.
IDS: Final = {
    "accounts": "SELECT :a",
    "outbox": "SELECT MAX(id) FROM outbox WHERE account_id = :a",
    "subscribers": "SELECT MIN(id) FROM subscribers WHERE account_id = :a",
    "changes": "SELECT MIN(id) FROM bulk_changes WHERE account_id = :a",
    "forms": "SELECT MIN(id) FROM forms WHERE account_id = :a",
    "tags": "SELECT MIN(id) FROM tags WHERE account_id = :a",
    "fields": "SELECT MIN(id) FROM custom_fields WHERE account_id = :a",
    "sequences": "SELECT MIN(id) FROM sequences WHERE account_id = :a",
    "emails": "SELECT MIN(id) FROM sequence_emails WHERE account_id = :a"
    " AND sequence_id = (SELECT MIN(id) FROM sequences WHERE account_id = :a)",
    "broadcasts": "SELECT id FROM broadcasts WHERE account_id = :a ORDER BY id LIMIT 6",
    "rules": "SELECT MIN(id) FROM rules WHERE account_id = :a",
    "webhooks": "SELECT MIN(id) FROM webhooks WHERE account_id = :a",
    "notices": "SELECT MIN(id) FROM notices WHERE account_id = :a"
    " AND webhook_id = (SELECT MIN(id) FROM webhooks WHERE account_id = :a)",
    "import": "SELECT id FROM uploads WHERE account_id = :a ORDER BY id",
    "keys": "SELECT MIN(id) FROM signing_keys WHERE account_id = :a",
    "imports": "SELECT MIN(id) FROM imports WHERE account_id = :a",
    "users": "SELECT MAX(user_id) FROM memberships WHERE account_id = :a",
    "sessions": "SELECT MAX(id) FROM sessions WHERE account_id = :a",
}  # fmt: skip
# By the whole pattern, where one id is as good as none: the states that the page is about.
BY_PATTERN: Final[dict[str, str]] = {}
# Words and tokens, by the whole pattern.
WORDS: Final[dict[str, tuple[str, ...]]] = {"/sign-in/{token}": ("x" * 32,)}

_HOLE: Final = re.compile(r"\{([a-z_]+)\}")


class NoSample(AssertionError):
    """A hole that nothing here can fill."""


def holes(pattern: str) -> list[tuple[str, str]]:
    """Return each hole of a pattern with the noun before it."""
    found, noun = [], ""
    for part in pattern.split("/"):
        hole = _HOLE.search(part)
        if hole:
            found.append((hole[1], noun))
        else:
            noun = part
    return found


def fillings(world: World, route: Route, account_id: int) -> Iterator[str]:
    """Yield the route's paths with samples of an account; at least one."""
    filled = [route.pattern]
    for hole, noun in holes(route.pattern):
        worded = hole in ("word", "token")
        values = WORDS.get(route.pattern) if worded else _ids(world, route, noun, account_id)
        if not values:
            raise NoSample(
                f"{route.method} {route.pattern}: nothing is known for {{{hole}}}. Add"
                f" {'words to WORDS' if worded else f'a question for {noun!r} to IDS'} in"
                " tests/dashboard/samples.py, and let tests/dashboard/world.py make such a thing."
            )
        filled = [path.replace(f"{{{hole}}}", str(one), 1) for path in filled for one in values]
    yield from filled


def _ids(world: World, route: Route, noun: str, account_id: int) -> list[int]:
    sql = BY_PATTERN.get(f"{route.method} {route.pattern}") or BY_PATTERN.get(route.pattern) or IDS.get(noun)
    rows = world.rows(sql, a=account_id) if sql else []
    return [row[0] for row in rows if row[0] is not None]
