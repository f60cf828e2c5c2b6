"""What else a pulled account has: its broadcasts and its webhooks.

Broadcasts come as what they were, sent or never scheduled, so that nothing goes out twice. Webhooks come
switched off: while both installations live, their receivers would be told of everything twice.
"""

from collections.abc import Iterator
from typing import Protocol, TypeVar

import msgspec

from tidings.core import accounts, broadcasts, webhooks
from tidings.core.broadcasts import Draft
from tidings.core.webhooks import NEEDS, Webhook
from tidings.errors import Problem
from tidings.moving.people import moment
from tidings.moving.source import Unreadable
from tidings.store.db import Database
from tidings.store.tx import Tx

T = TypeVar("T")
# By kind and id of the account there: the id here.
Refs = dict[tuple[str, int], int]

PAGE = 50
PAGES_MAX = 1_000
WHY = "brought from another account: enable it when that one tells nobody any more"
_KINDS = {"form_id": "form", "course_id": "sequence", "sequence_id": "sequence", "tag_id": "tag"}


class Asking(Protocol):
    """The address that is pulled (`kit.Remote`)."""

    def ask(self, path: str, decoder: msgspec.json.Decoder[T], params: dict[str, str]) -> T: ...


class Listed(msgspec.Struct):
    """A broadcast in the list."""

    id: int
    subject: str | None = None


class Told(msgspec.Struct):
    """A broadcast as v3 shows it."""

    id: int
    subject: str | None = None
    description: str | None = None
    content: str | None = None
    public: bool = False
    published_at: str | None = None
    send_at: str | None = None
    thumbnail_alt: str | None = None
    thumbnail_url: str | None = None


class _List(msgspec.Struct):
    broadcasts: list[Listed] = []


class _One(msgspec.Struct):
    broadcast: Told


class _Rule(msgspec.Struct):
    event: dict[str, object]
    target_url: str = ""


class _Hook(msgspec.Struct):
    rule: _Rule


_LIST = msgspec.json.Decoder(_List, strict=False)
_ONE = msgspec.json.Decoder(_One, strict=False)
_HOOKS = msgspec.json.Decoder(list[_Hook], strict=False)


def broadcasts_of(db: Database, account_id: int, remote: Asking) -> list[str]:
    """Bring the broadcasts that are not here yet; return what was left out."""
    known = set(_here(db, account_id))
    sender = db.read_now(account_id, accounts.get).primary_email
    left: list[str] = []
    for number in range(1, PAGES_MAX + 1):
        found = remote.ask("broadcasts", _LIST, {"page": str(number)}).broadcasts
        for one in found:
            told = remote.ask(f"broadcasts/{one.id}", _ONE, {}).broadcast
            sent_at = moment(told.send_at) if told.send_at else None
            published_at = moment(told.published_at) if told.published_at else None
            if (told.subject, published_at) in known:
                continue
            draft = Draft(
                subject=told.subject,
                description=told.description,
                content=told.content,
                visibility="public" if told.public else "private",
                published_at=published_at,
                send_at=sent_at if sent_at is not None and sent_at <= db.clock() else None,
                thumbnail_alt=told.thumbnail_alt,
                thumbnail_url=told.thumbnail_url,
            )
            status = "draft" if draft.send_at is None else "completed"
            try:
                db.write_now(account_id, broadcasts.create, draft, sender, status=status)
            except Problem as problem:
                left.append(f"broadcast {one.id}: {problem}")
        if len(found) < PAGE:
            break
    return left


def _here(db: Database, account_id: int) -> Iterator[tuple[str | None, int]]:
    for number in range(1, PAGES_MAX * PAGE):
        found = db.read_now(account_id, broadcasts.page, newest_first=False, number=number)
        yield from ((one.subject, one.published_at) for one in found)
        if not found:
            return


def webhooks_of(db: Database, account_id: int, remote: Asking, refs: Refs) -> list[str]:
    """Bring the webhooks that are not here yet, switched off; return what was left out."""
    try:
        found = remote.ask("automations/hooks", _HOOKS, {})
    except Unreadable as problem:
        # ConvertKit has not documented this list: not every address has it.
        return [f"webhooks: {problem}"]
    left = []
    for hook in found:
        wish = _wish(hook.rule, refs)
        if isinstance(wish, str):
            left.append(f"webhook to {hook.rule.target_url}: {wish}")
            continue
        try:
            db.write_now(account_id, _bring, wish)
        except Problem as problem:
            left.append(f"webhook to {hook.rule.target_url}: {problem}")
    return left


def _wish(rule: _Rule, refs: Refs) -> Webhook | str:
    """Return the webhook that is meant, by the ids of this account, or why there can be none."""
    event = str(rule.event.get("name", "")).rpartition(".")[2]
    if event not in NEEDS:
        return f"the event {event} is not known here"
    for need in NEEDS[event]:
        value = rule.event.get(need)
        if value is None:
            continue
        if need not in _KINDS:
            number = value if isinstance(value, int) else None
            text = None if number is not None else str(value)
            return Webhook(0, event, need, number, text, rule.target_url)
        ref_id = refs.get((_KINDS[need], value)) if isinstance(value, int) else None
        if ref_id is None:
            return f"its {need} is none of that account"
        return Webhook(0, event, need, ref_id, None, rule.target_url)
    return Webhook(0, event, None, None, None, rule.target_url)


def _bring(tx: Tx, wish: Webhook) -> None:
    same = ("event", "subject", "subject_id", "value", "target_url")
    for one in webhooks.all_webhooks(tx):
        if all(getattr(one, name) == getattr(wish, name) for name in same):
            return
    made = webhooks.create(
        tx, wish.event, wish.target_url, subject=wish.subject, subject_id=wish.subject_id, value=wish.value
    )
    webhooks.disable(tx, made.id, WHY)
