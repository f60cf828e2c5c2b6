"""Batches: what the rows of one page name, asked for in one question of each kind, however many they are."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from tidings.core.deliveries.report import Attempt
from tidings.core.events import Origin
from tidings.core.history.sources import Found
from tidings.store.tx import Rx

# Few sizes, so that few statements serve every page; the larger is the largest page.
_SIZES = (10, 50, 500)
_IDS = {size: ", ".join(f":id{at}" for at in range(size)) for size in _SIZES}
# A tag that is gone has a name in the past.
_TAG = "CASE WHEN deleted_at IS NULL THEN name ELSE name || ' (deleted)' END"
_WHERE = " WHERE account_id = :account_id AND"
_SQL = {
    (what, size): f"{start}{_WHERE} {column} IN ({ids}){end}"
    for what, start, column, end in (
        ("broadcast", "SELECT id, subject FROM broadcasts", "id", ""),
        ("tag", f"SELECT id, {_TAG} FROM tags", "id", ""),  # noqa: S608 (our names)
        ("email", "SELECT id, subject FROM sequence_emails", "id", ""),
        ("link", "SELECT id, url FROM links", "id", ""),
        ("rule", "SELECT id, name FROM rules", "id", ""),
        ("webhook", "SELECT id, target_url FROM webhooks", "id", ""),
        (
            "tries",
            "SELECT delivery_id, n, state, verdict, reply, at FROM attempts",
            "delivery_id",
            " ORDER BY id LIMIT 2000",
        ),
        (
            "products",
            "SELECT purchase_id, name, quantity FROM purchase_products",
            "purchase_id",
            " ORDER BY purchase_id, position LIMIT 2000",
        ),
    )
    for size, ids in _IDS.items()
}
PRODUCTS_MAX = 20
_OF_TAGS = ("tag_add", "tag_remove")


class Batch(msgspec.Struct):
    """What was found: names by kind and id, the tries of mails, the products of purchases."""

    names: dict[tuple[str, int], str | None]
    tries: dict[int, list[Attempt]]
    products: dict[int, list[tuple[str, int]]]


def ask(rx: Rx, found: Iterable[Found]) -> Batch:
    """Ask for all that these rows name."""
    refs: dict[str, set[int]] = {}
    for one in found:
        for kind, ref_id in _refs(one):
            refs.setdefault(kind, set()).add(ref_id)
    return of(rx, refs)


def of(rx: Rx, refs: dict[str, set[int]]) -> Batch:
    """Ask for names by kind and ids; `tries` by mail and `products` by purchase."""
    batch = Batch({}, {}, {})
    for kind, ids in refs.items():
        for row in _rows(rx, kind, sorted(ids)):
            if kind == "tries":
                batch.tries.setdefault(row[0], []).append(Attempt(*row[1:]))
            elif kind == "products":
                batch.products.setdefault(row[0], []).append((row[1], row[2]))
            else:
                batch.names[kind, row[0]] = row[1]
    return batch


def of_occasion(occasion: str) -> tuple[str, int] | None:
    """Return what a mail is of: a broadcast, an email of a sequence, or a rule; None for another."""
    kind, _, rest = occasion.partition(":")
    ref = rest.partition(":")[0]
    named = {"broadcast": "broadcast", "sequence-email": "email", "rule-email": "rule"}.get(kind)
    return (named, int(ref)) if named and ref.isdecimal() else None


def told(state: str, attempts: int) -> bool:
    """Whether the tries of a mail say more than its state."""
    return attempts > 1 or state not in ("sent", "queued", "claimed", "handed")


def _rows(rx: Rx, kind: str, ids: Sequence[int]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for at in range(0, len(ids), _SIZES[-1]):
        some = ids[at : at + _SIZES[-1]]
        size = next(size for size in _SIZES if len(some) <= size)
        names = {f"id{n}": some[min(n, len(some) - 1)] for n in range(size)}
        rows += rx.all(_SQL[kind, size], account_id=rx.account_id, **names)
    return rows


def _refs(found: Found) -> list[tuple[str, int]]:
    """Return what one row names, that is not in memory anyway."""
    match found.source:
        case "event":
            name, subject_id, _, packed = found.row
            origin = msgspec.json.decode(packed, type=Origin)
            ref = origin.source.partition(":")[2]
            rules = [("rule", int(ref))] if origin.door == "rule" and ref.isdecimal() else []
            tagged = name in _OF_TAGS and subject_id is not None
            return [*rules, *([("tag", subject_id)] if tagged else [])]
        case "mail":
            occasion, state, attempts, *_ = found.row
            named = of_occasion(occasion)
            tries = [("tries", found.place.id)] if told(state, attempts) else []
            return [*tries, *([named] if named else [])]
        case "hit":
            return [("link", found.row[1])] if found.row[1] is not None else []
        case "purchase":
            return [("products", found.place.id)]
        case "notice":
            return [("webhook", found.row[0])]
        case "rule":
            return [("rule", found.row[0])]
    return []
