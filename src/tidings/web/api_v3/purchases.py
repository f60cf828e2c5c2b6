"""Purchases. Contract 3.10."""

from typing import Any

from tidings.core import purchases, subscribers
from tidings.core.purchases import Order, money
from tidings.errors import Invalid, Unauthorized
from tidings.web import params
from tidings.web.api_v3 import auth, shapes
from tidings.web.api_v3.call import Call
from tidings.web.http import Reply, json_reply

_AMOUNTS = ("subtotal", "discount", "tax", "shipping", "total")
TEXT_MAX = 255


async def list_purchases(call: Call) -> Reply:
    """GET /purchases: newest first"""
    asked, number = call.page()
    total, rows = await call.read(purchases.page, number)
    shown = [shapes.purchase(one) for one in rows]
    return json_reply(200, shapes.listed("purchases", total, asked, purchases.PAGE, shown))


async def get_purchase(call: Call) -> Reply:
    """GET /purchases/{id}: the bare purchase"""
    return json_reply(200, shapes.purchase(await call.read(purchases.find, call.ids[0])))


async def create_purchase(call: Call) -> Reply:
    """POST /purchases: the bare purchase; a known transaction is updated"""
    integration = await auth.known_integration(call.house, call.params)
    if integration is None and params.text(call.params, "integration_key") is not None:
        raise Unauthorized("unknown_integration")
    given = call.table("purchase")
    order = Order(
        transaction_id=_text(given, "transaction_id"),
        email=_text(given, "email_address", "email"),
        first_name=_text(given, "first_name"),
        currency=_currency(given),
        status=_text(given, "status") or "paid",
        transaction_at=call.time("transaction_time", given.get("transaction_time")),
        integration=_text(given, "integration") or (integration.name if integration else None),
        integration_id=integration.id if integration else None,
        products=[_product(item) for item in _items(given.get("products"))],
        **{name: money(given.get(name), name) for name in _AMOUNTS},
    )
    kept = await call.house.db.write_sorted(
        subscribers.sort_key(order.email or ""), call.account_id, purchases.record, order, call.origin
    )
    return json_reply(201, shapes.purchase(kept))


def _text(given: dict[str, Any], *names: str) -> str | None:
    text = params.text(given, *names)
    if text is None:
        return None
    text = text.replace("\0", "").strip()
    if len(text) > TEXT_MAX:
        raise Invalid(names[0], f"is too long (maximum is {TEXT_MAX} characters)")
    return text or None


def _currency(given: dict[str, Any]) -> str:
    code = _text(given, "currency") or "USD"
    if not (code.isascii() and code.isalpha() and len(code) == len("USD")):
        raise Invalid("currency", "must be a code of three letters")
    return code


def _items(value: object) -> list[object]:
    if isinstance(value, dict):
        return [value]
    return value if isinstance(value, list) else []


def _product(item: object) -> dict[str, object]:
    line = item if isinstance(item, dict) else {}
    texts: dict[str, object] = {name: _text(line, name) for name in ("pid", "lid", "name", "sku")}
    return {**texts, "unit_price": line.get("unit_price"), "quantity": _text(line, "quantity")}
