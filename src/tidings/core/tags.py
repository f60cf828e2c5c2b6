"""Tags: words that an owner puts on people. Owns `tags`.

A deleted tag keeps its row, is found nowhere, and is taken off people slice by slice.
"""

import re
import unicodedata

import msgspec

from tidings.core import subscribers, subscriptions
from tidings.core.events import Origin
from tidings.core.subscriptions import emptying
from tidings.errors import Invalid, NotFound
from tidings.store.tx import Rx, Tx

NAME_MAX = 255
# More tags than this in one account are a mistake of some integration: the list is sent whole.
TAGS_MAX = 20_000
# Another process may put a tag on somebody for a second after it was deleted; a minute is looked.
SETTLED_MS = 60_000
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Tag(msgspec.Struct, frozen=True):
    """One tag."""

    id: int
    name: str
    created_at: int
    updated_at: int


def all_tags(rx: Rx) -> dict[int, Tag]:
    """Return the account's tags by id, in the order of their names."""
    return rx.remember(_load)


def find(rx: Rx, tag_id: int) -> Tag:
    """Return one tag, or raise NotFound."""
    row = rx.one(
        "SELECT id, name, created_at, updated_at FROM tags WHERE account_id = :account_id AND id = :id"
        " AND deleted_at IS NULL",
        account_id=rx.account_id,
        id=tag_id,
    )
    if row is None:
        raise NotFound("tag")
    return Tag(*row)


def taken(rx: Rx, tag_id: int) -> bool:
    """Say whether a tag of any account has this id: ids are one row of numbers over all accounts."""
    return rx.one("SELECT 1 FROM tags WHERE id = :id", id=tag_id) is not None


def create(tx: Tx, names: list[str], *, ids: list[int] | None = None) -> list[Tag]:
    """Make one tag for each name, all or none."""
    count = tx.one(
        "SELECT COUNT(*) FROM tags WHERE account_id = :account_id AND deleted_at IS NULL",
        account_id=tx.account_id,
    )
    if count and count[0] + len(names) > TAGS_MAX:
        raise Invalid("Name", f"is one too many: an account can have at most {TAGS_MAX} tags")
    cleaned = [_clean_name(name) for name in names]
    keys = [_name_key(name) for name in cleaned]
    if len(set(keys)) < len(keys):
        raise Invalid("Name", "has already been taken")
    for key in keys:
        if tx.one(
            "SELECT id FROM tags WHERE account_id = :account_id AND name_key = :key",
            account_id=tx.account_id,
            key=key,
        ):
            raise Invalid("Name", "has already been taken")
    made = [_insert(tx, name, ids[at] if ids else None) for at, name in enumerate(cleaned)]
    tx.redefine()
    return made


def rename(tx: Tx, tag_id: int, name: str) -> None:
    """Give a tag another name; who has it keeps it."""
    clean = _clean_name(name)
    other = tx.one(
        "SELECT id FROM tags WHERE account_id = :account_id AND name_key = :key AND id <> :id",
        account_id=tx.account_id,
        key=_name_key(clean),
        id=tag_id,
    )
    if other:
        raise Invalid("Name", "has already been taken")
    changed = tx.run(
        "UPDATE tags SET name = :name, name_key = :key, updated_at = :now"
        " WHERE account_id = :account_id AND id = :id AND deleted_at IS NULL",
        name=clean,
        key=_name_key(clean),
        now=tx.now,
        account_id=tx.account_id,
        id=tag_id,
    )
    if not changed:
        raise NotFound("tag")
    tx.redefine()


def delete(tx: Tx, tag_id: int) -> None:
    """Delete a tag; nobody shows it any more at once, the engine takes it off people slice by slice.

    No event is told for each of them: nobody was changed but the tag. Who uses it is known to `retiring`.
    """
    # No name that somebody gives has a control character, so the name is free again.
    gone = tx.run(
        "UPDATE tags SET deleted_at = :now, updated_at = :now, public_at = NULL, name_key = :key"
        " WHERE account_id = :account_id AND id = :id AND deleted_at IS NULL",
        now=tx.now,
        key=f"\x1f{tag_id}",
        account_id=tx.account_id,
        id=tag_id,
    )
    if not gone:
        raise NotFound("tag")
    tx.redefine()
    tx.wake()


def next_to_empty(rx: Rx) -> tuple[int, int] | None:
    """Return the account and id of a deleted tag that people may still have."""
    row = rx.one(
        "SELECT account_id, id FROM tags WHERE deleted_at IS NOT NULL AND emptied_at IS NULL"
        " ORDER BY id LIMIT 1"
    )
    return (row[0], row[1]) if row else None


def empty(tx: Tx, tag_id: int) -> int:
    """Take a deleted tag off a slice of people; return how many. Off everybody, it is done with."""
    row = tx.one(
        "SELECT deleted_at FROM tags WHERE account_id = :account_id AND id = :id AND emptied_at IS NULL",
        account_id=tx.account_id,
        id=tag_id,
    )
    if row is None or row[0] is None:
        return 0
    done = emptying.untag_slice(tx, tag_id)
    if not done and tx.now - row[0] >= SETTLED_MS:
        tx.run(
            "UPDATE tags SET emptied_at = :now WHERE account_id = :account_id AND id = :id",
            now=tx.now,
            account_id=tx.account_id,
            id=tag_id,
        )
    return done


def of_subscriber(rx: Rx, subscriber_id: int) -> list[Tag]:
    """Return a person's tags; raise NotFound for nobody."""
    subscribers.get(rx, subscriber_id)
    known = all_tags(rx)
    return [known[one] for one in subscriptions.tag_ids(rx, subscriber_id) if one in known]


def named(tx: Tx, name: str) -> Tag:
    """Return the tag of this name, made where there is none."""
    row = tx.one(
        "SELECT id, name, created_at, updated_at FROM tags WHERE account_id = :account_id"
        " AND name_key = :key",
        account_id=tx.account_id,
        key=_name_key(_clean_name(name)),
    )
    return Tag(*row) if row else create(tx, [name])[0]


def put_on(tx: Tx, tag_id: int, subscriber_id: int, origin: Origin) -> Tag:
    """Put a tag on a person; one they have already changes nothing."""
    tag = find(tx, tag_id)
    subscriptions.start(tx, subscribers.get(tx, subscriber_id), "tag", tag_id, origin)
    return tag


def remove(tx: Tx, tag_id: int, subscriber_id: int, origin: Origin) -> Tag:
    """Take a tag off a person; a tag they never had changes nothing."""
    who = subscribers.get(tx, subscriber_id)
    tag = find(tx, tag_id)
    subscriptions.leave(tx, who, "tag", tag_id, origin)
    return tag


def _load(rx: Rx) -> dict[int, Tag]:
    rows = rx.all(
        "SELECT id, name, created_at, updated_at FROM tags WHERE account_id = :account_id"
        " AND deleted_at IS NULL ORDER BY name_key, id",
        account_id=rx.account_id,
    )
    return {row[0]: Tag(*row) for row in rows}


def _insert(tx: Tx, name: str, given: int | None) -> Tag:
    names = {"account_id": tx.account_id, "name": name, "key": _name_key(name), "now": tx.now}
    columns = "account_id, name, name_key, created_at, updated_at"
    values = ":account_id, :name, :key, :now, :now"
    if given:
        names["id"] = given
        columns, values = "id, " + columns, ":id, " + values
    # Another process may have made the same name since we looked: then this one is late.
    row = tx.one(
        f"INSERT INTO tags ({columns}) VALUES ({values})"  # noqa: S608 (our columns)
        " ON CONFLICT (account_id, name_key) DO NOTHING RETURNING id",
        **names,
    )
    if row is None:
        raise Invalid("Name", "has already been taken")
    return Tag(row[0], name, tx.now, tx.now)


def _clean_name(name: str) -> str:
    clean = _CONTROL.sub("", name).strip()
    if not clean:
        raise Invalid("Name", "can't be blank")
    if len(clean) > NAME_MAX:
        raise Invalid("Name", f"is too long (maximum is {NAME_MAX} characters)")
    return clean


def _name_key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def public_names(rx: Rx) -> dict[int, str]:
    """Return the names of the tags that people may take and drop by themselves, by id."""
    return rx.remember(_load_public)


def set_public(tx: Tx, tag_id: int, *, public: bool) -> None:
    """Let people choose a tag on their preferences page, or not any more."""
    changed = tx.run(
        "UPDATE tags SET public_at = CASE WHEN :public = 1 THEN COALESCE(public_at, :now) ELSE NULL END,"
        " updated_at = :now WHERE account_id = :account_id AND id = :id AND deleted_at IS NULL",
        public=int(public),
        now=tx.now,
        account_id=tx.account_id,
        id=tag_id,
    )
    if not changed:
        raise NotFound("tag")
    tx.redefine()


def _load_public(rx: Rx) -> dict[int, str]:
    rows = rx.all(
        "SELECT id, name FROM tags WHERE account_id = :account_id AND public_at IS NOT NULL"
        " ORDER BY name_key, id",
        account_id=rx.account_id,
    )
    return {row[0]: row[1] for row in rows}
