"""Snippets: words that an owner writes once and names in any mail. Owns `snippets`."""

import re

import msgspec

from tidings.errors import Invalid, NotFound
from tidings.mail import render
from tidings.store.tx import Rx, Tx

SNIPPETS_MAX = 200
CONTENT_MAX = 65_536
# Within a snippet another may stand, and in that one more, as in `mail.sources`.
DEEP = 3
_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}\Z")
_NAMED = re.compile(r"\bsnippet\.([A-Za-z0-9_-]{1,100})")


class Snippet(msgspec.Struct, frozen=True):
    """One snippet: `{{ snippet.NAME }}` in a mail becomes its content, HTML or text with Liquid."""

    id: int
    name: str
    content: str


def all_snippets(rx: Rx) -> dict[str, Snippet]:
    """Return the account's snippets by name."""
    return rx.remember(_load)


def put(tx: Tx, name: str, content: str) -> Snippet:
    """Make a snippet, or give the one of this name another content."""
    if _NAME.match(name) is None:
        raise Invalid("name", "must be 1 to 100 letters, digits, - and _")
    if len(content) > CONTENT_MAX:
        raise Invalid("content", f"is too long (maximum is {CONTENT_MAX} characters)")
    try:
        render.compile(content, html=True)
    except render.TemplateProblem as problem:
        raise Invalid("content", f"cannot be read: {problem}") from problem
    known = _load(tx)
    if name not in known and len(known) >= SNIPPETS_MAX:
        raise Invalid("name", f"is one too many: an account can have at most {SNIPPETS_MAX} snippets")
    tx.run(
        "INSERT INTO snippets (account_id, name, content, created_at, updated_at)"
        " VALUES (:account_id, :name, :content, :now, :now)"
        " ON CONFLICT (account_id, name) DO UPDATE SET content = excluded.content, updated_at = :now",
        account_id=tx.account_id,
        name=name,
        content=content,
        now=tx.now,
    )
    tx.redefine()
    return _load(tx)[name]


def delete(tx: Tx, name: str) -> None:
    """Delete a snippet; mails that name it show nothing there. Raise NotFound for an unknown one."""
    if not tx.run(
        "DELETE FROM snippets WHERE account_id = :account_id AND name = :name",
        account_id=tx.account_id,
        name=name,
    ):
        raise NotFound("snippet")
    tx.redefine()


def named_in(rx: Rx, *sources: str | None) -> tuple[tuple[str, str], ...]:
    """Return name and content of the snippets that these sources name, and of those within them."""
    known = all_snippets(rx)
    found: dict[str, str] = {}
    if not known:
        return ()
    looked = [one for one in sources if one]
    for _ in range(DEEP):
        names = {name for one in looked for name in _NAMED.findall(one)}
        fresh = {name: known[name].content for name in sorted(names) if name in known and name not in found}
        found |= fresh
        looked = list(fresh.values())
    return tuple(found.items())


def _load(rx: Rx) -> dict[str, Snippet]:
    rows = rx.all(
        "SELECT id, name, content FROM snippets WHERE account_id = :account_id ORDER BY name LIMIT :limit",
        account_id=rx.account_id,
        limit=SNIPPETS_MAX,
    )
    return {row[1]: Snippet(*row) for row in rows}
