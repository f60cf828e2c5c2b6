"""Purchases: what somebody bought, told by a shop. Owns `purchases`, `purchase_products` and `sales`.

Money is decimal text from the wire to the row and back; no binary float touches it. A
transaction posted again is the same purchase: it is updated, and nothing is told twice. When its
buyer is erased a purchase becomes a sale: amounts, products and times without anybody.
"""

from decimal import Decimal, InvalidOperation

import msgspec

from tidings.core import counters, events, subscribers
from tidings.core.events import Origin
from tidings.core.subscribers import Person, Subscriber
from tidings.errors import Invalid, Missing, NotFound, Unavailable
from tidings.store.tx import Collected, Rx, Tx

PAGE = 50
PRODUCTS_MAX = 1_000
TEXT_MAX = 1_000
DIGITS_MAX = 18
QUANTITY_MAX = 10**9

_COLUMNS = (
    "id, transaction_id, subscriber_id, email, status, currency, subtotal, discount, tax, shipping, total,"
    " transaction_at, integration"
)
_MONEY = "status, currency, subtotal, discount, tax, shipping, total"
_PRODUCT = Collected(
    "INSERT INTO purchase_products (account_id, purchase_id, position, pid, lid, name, sku, unit_price,"
    " quantity) VALUES (:account_id, :purchase_id, :position, :pid, :lid, :name, :sku, :unit_price,"
    " :quantity)",
    ("account_id", "purchase_id", "position", "pid", "lid", "name", "sku", "unit_price", "quantity"),
)


class Product(msgspec.Struct, frozen=True):
    """One line: `pid` is the product's id in the shop, `lid` the line's."""

    pid: str
    lid: str
    name: str
    sku: str | None
    unit_price: str
    quantity: int


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A purchase as a shop told it; blank texts are None, amounts decimal text."""

    transaction_id: str | None
    email: str | None
    first_name: str | None = None
    currency: str = "USD"
    status: str = "paid"
    subtotal: str = "0.0"
    discount: str = "0.0"
    tax: str = "0.0"
    shipping: str = "0.0"
    total: str = "0.0"
    transaction_at: int | None = None
    integration: str | None = None
    integration_id: int | None = None
    products: list[dict[str, object]] = []


class Purchase(msgspec.Struct, frozen=True):
    """One purchase as kept, with its lines."""

    id: int
    transaction_id: str
    subscriber_id: int
    email: str
    status: str
    currency: str
    subtotal: str
    discount: str
    tax: str
    shipping: str
    total: str
    transaction_at: int
    integration: str | None
    products: list[Product] = []


def record(tx: Tx, order: Order, origin: Origin) -> Purchase:
    """Keep a purchase; its subscriber is made if unknown."""
    products = _complete(order)
    assert order.transaction_id and order.email  # noqa: S101, PT018 (checked by _complete)
    buyer: Person = subscribers.person(order.email, order.first_name)
    who, is_new = subscribers.meet(tx, buyer, "active", origin)
    # A mailbox that was erased is not made active by a shop.
    if is_new and who.state == "active":
        events.record(tx, "subscriber_activate", who, who.id, origin)
    names = {
        "account_id": tx.account_id,
        "transaction_id": order.transaction_id,
        "subscriber_id": who.id,
        "email": buyer.address.email,
        "status": order.status,
        "currency": order.currency.upper(),
        "subtotal": order.subtotal,
        "discount": order.discount,
        "tax": order.tax,
        "shipping": order.shipping,
        "total": order.total,
        "transaction_at": order.transaction_at if order.transaction_at is not None else tx.now,
        "integration": order.integration,
        "integration_id": order.integration_id,
        "now": tx.now,
    }
    row = tx.one(_INSERT, **names)
    if row is None:
        purchase_id = _again(tx, names, given=order.transaction_at is not None)
    else:
        purchase_id = row[0]
        counters.count(tx, "purchases", 0, "", purchase_id, +1)
    for position, product in enumerate(products, 1):
        line = (tx.account_id, purchase_id, position, *msgspec.structs.astuple(product))
        tx.run(_PRODUCT.sql, **dict(zip(_PRODUCT.columns, line, strict=True)))
    kept = find(tx, purchase_id)
    if (kept.subscriber_id, kept.products) != (who.id, products):
        # One transaction told for two people in one wave: each is run again, alone.
        raise Unavailable("this purchase was told twice at the same moment; try again")
    if row is not None:
        _tell(tx, kept, who, origin)
    return kept


def _tell(tx: Tx, kept: Purchase, who: Subscriber, origin: Origin) -> None:
    """Record a new purchase, with itself as it is now, and each of its different products."""
    events.record(tx, "purchase_create", who, who.id, origin, subject_id=kept.id, detail=kept)
    for pid in dict.fromkeys(product.pid for product in kept.products):
        events.record(tx, "product_purchase", who, who.id, origin, subject_id=kept.id, value=pid)


def find(rx: Rx, purchase_id: int) -> Purchase:
    """Return one purchase, or raise NotFound."""
    row = rx.one(
        f"SELECT {_COLUMNS} FROM purchases WHERE account_id = :account_id AND id = :id",  # noqa: S608
        account_id=rx.account_id,
        id=purchase_id,
    )
    if row is None:
        raise NotFound("purchase")
    return _with_products(rx, [row])[0]


def by_transaction(rx: Rx, transaction_id: str) -> Purchase | None:
    """Return the purchase of a shop's transaction, if it was told."""
    row = rx.one(
        f"SELECT {_COLUMNS} FROM purchases WHERE account_id = :account_id"  # noqa: S608 (our columns)
        " AND transaction_id = :transaction_id",
        account_id=rx.account_id,
        transaction_id=transaction_id,
    )
    return _with_products(rx, [row])[0] if row else None


def page(rx: Rx, number: int) -> tuple[int, list[Purchase]]:
    """Return how many purchases there are, and one page of them, newest first."""
    total = counters.total(rx, "purchases")
    offset = (number - 1) * PAGE
    place = counters.locate(rx, "purchases", 0, counters.ANY, offset, newest_first=True)
    if place is None:
        return total, []
    rows = rx.all(
        f"SELECT {_COLUMNS} FROM purchases WHERE account_id = :account_id AND id <= :edge"  # noqa: S608
        " ORDER BY id DESC LIMIT :limit OFFSET :skip",
        account_id=rx.account_id,
        edge=counters.edge(place, newest_first=True),
        limit=PAGE,
        skip=place[1],
    )
    return total, _with_products(rx, rows)


def let_go(tx: Tx, subscriber_id: int, limit: int) -> int:
    """Make sales of up to `limit` purchases of a person who is erased; return how many."""
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM purchases WHERE account_id = :account_id"  # noqa: S608 (our columns)
        " AND subscriber_id = :id ORDER BY id LIMIT :limit {for_update}",
        account_id=tx.account_id,
        id=subscriber_id,
        limit=limit,
    )
    for at in range(0, len(rows), PAGE):
        for one in _with_products(tx, rows[at : at + PAGE]):
            _sell(tx, one)
    return len(rows)


def _sell(tx: Tx, one: Purchase) -> None:
    """Keep a purchase without its buyer; its transaction's number would lead the shop to them."""
    # `lid` is the line of the shop's order, and leads there too.
    products = [
        {name: getattr(line, name) for name in ("pid", "name", "sku", "unit_price", "quantity")}
        for line in one.products
    ]
    tx.run(
        f"INSERT INTO sales (account_id, {_MONEY}, transaction_at, integration, products, created_at)"  # noqa: S608
        f" VALUES (:account_id, {', '.join(':' + name.strip() for name in _MONEY.split(','))},"
        " :transaction_at, :integration, :products, :now)",
        account_id=tx.account_id,
        transaction_at=one.transaction_at,
        integration=one.integration,
        products=msgspec.json.encode(products).decode(),
        now=tx.now,
        **{name.strip(): getattr(one, name.strip()) for name in _MONEY.split(",")},
    )
    names = {"account_id": tx.account_id, "id": one.id}
    tx.run("DELETE FROM purchase_products WHERE account_id = :account_id AND purchase_id = :id", **names)
    tx.run("DELETE FROM purchases WHERE account_id = :account_id AND id = :id", **names)
    counters.count(tx, "purchases", 0, "", one.id, -1)


def bought(rx: Rx, subscriber_id: int, pid: str | None) -> bool:
    """Say whether a person has bought a product, or (None) anything."""
    names: dict[str, object] = {"account_id": rx.account_id, "subscriber_id": subscriber_id}
    if pid is None:
        found = rx.one(
            "SELECT 1 FROM purchases WHERE account_id = :account_id"
            " AND subscriber_id = :subscriber_id LIMIT 1",
            **names,
        )
        return found is not None
    found = rx.one(
        "SELECT 1 FROM purchases JOIN purchase_products AS line ON line.account_id = purchases.account_id"
        " AND line.purchase_id = purchases.id WHERE purchases.account_id = :account_id"
        " AND purchases.subscriber_id = :subscriber_id AND line.pid = :pid LIMIT 1",
        pid=pid,
        **names,
    )
    return found is not None


def money(value: object, name: str) -> str:
    """Return an amount as exact decimal text with at least one decimal; blank is 0."""
    if value is None or value == "":
        return "0.0"
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        raise Invalid(name, "must be a number")
    try:
        amount = Decimal(str(value).strip())
    except InvalidOperation as problem:
        raise Invalid(name, "must be a number") from problem
    if (
        not amount.is_finite()
        or abs(amount.adjusted()) > DIGITS_MAX
        or len(amount.as_tuple().digits) > DIGITS_MAX
    ):
        raise Invalid(name, f"must be a number of at most {DIGITS_MAX} digits")
    text = f"{amount:f}"
    whole, _, part = text.partition(".")
    return f"{whole}.{part.rstrip('0') or '0'}"


_INSERT_COLUMNS = (
    "account_id, transaction_id, subscriber_id, email, status, currency, subtotal, discount, tax, shipping,"
    " total, transaction_at, integration, integration_id"
)
_INSERT = (
    f"INSERT INTO purchases ({_INSERT_COLUMNS}, created_at, updated_at)"  # noqa: S608
    f" VALUES ({', '.join(':' + one.strip() for one in _INSERT_COLUMNS.split(','))}, :now, :now)"
    " ON CONFLICT (account_id, transaction_id) DO NOTHING RETURNING id"
)


def _again(tx: Tx, names: dict[str, object], *, given: bool) -> int:
    """Update a purchase that is posted again; it keeps its time unless one is given."""
    keeps = "" if given else "transaction_at = purchases.transaction_at, "
    skipped = (
        ("account_id", "transaction_id") if given else ("account_id", "transaction_id", "transaction_at")
    )
    columns = [one.strip() for one in _INSERT_COLUMNS.split(",") if one.strip() not in skipped]
    sets = ", ".join(f"{one} = :{one}" for one in columns)
    row = tx.one(
        f"UPDATE purchases SET {keeps}{sets}, updated_at = :now"  # noqa: S608 (our columns)
        " WHERE account_id = :account_id AND transaction_id = :transaction_id RETURNING id",
        **names,
    )
    assert row is not None  # noqa: S101 (the insert met this row)
    tx.run(
        "DELETE FROM purchase_products WHERE account_id = :account_id AND purchase_id = :id",
        account_id=tx.account_id,
        id=row[0],
    )
    return int(row[0])


def _complete(order: Order) -> list[Product]:
    """Return the order's lines, or raise Missing with everything that lacks, in order."""
    lacks, serious = [], False
    for label, given in (("transaction_id", order.transaction_id), ("email_address", order.email)):
        if not given:
            lacks.append(f"{label} can't be blank")
            serious = True
    if len(order.products) > PRODUCTS_MAX:
        raise Invalid("products", f"are too many: a purchase can have at most {PRODUCTS_MAX}")
    for raw in order.products:
        for label in ("Pid", "Lid", "Name", "Sku"):
            if raw.get(label.lower()) is None:
                lacks.append(f"{label} can't be blank for product: {raw.get('name') or ''}".rstrip())
                serious = serious or label != "Sku"
    if serious:
        raise Missing(", ".join(lacks))
    products = [_product(raw) for raw in order.products]
    seen = set()
    for product in products:
        if product.lid in seen:
            raise Missing(f"Lid must be unique for product: {product.name}")
        seen.add(product.lid)
    return products


def _product(raw: dict[str, object]) -> Product:
    quantity = raw.get("quantity")
    try:
        number = 1 if quantity is None else int(str(quantity)[:20])
    except ValueError as problem:
        raise Invalid("quantity", "must be a whole number") from problem
    if abs(number) > QUANTITY_MAX:
        raise Invalid("quantity", "is too large")
    texts = [
        str(raw[name])[:TEXT_MAX] if raw.get(name) is not None else None
        for name in ("pid", "lid", "name", "sku")
    ]
    pid, lid, name, sku = texts
    assert pid is not None and lid is not None and name is not None  # noqa: S101, PT018 (checked before)
    return Product(pid, lid, name, sku, money(raw.get("unit_price"), "unit_price"), number)


def _with_products(rx: Rx, rows: list[tuple[object, ...]]) -> list[Purchase]:
    names = {f"id{at}": row[0] for at, row in enumerate(rows)}
    if not names:
        return []
    lines: dict[object, list[Product]] = {}
    for purchase_id, *line in rx.all(
        "SELECT purchase_id, pid, lid, name, sku, unit_price, quantity FROM purchase_products"  # noqa: S608
        f" WHERE account_id = :account_id AND purchase_id IN ({', '.join(':' + one for one in names)})"
        " ORDER BY purchase_id, position",
        account_id=rx.account_id,
        **names,
    ):
        lines.setdefault(purchase_id, []).append(Product(*line))
    return [Purchase(*row, lines.get(row[0], [])) for row in rows]  # type: ignore[arg-type, call-arg]
