"""Core values to v3 JSON, and problems to v3 errors. Contract sections 1.4, 1.6 and 2."""

import time
from functools import lru_cache
from typing import Any

import msgspec

from tidings import errors
from tidings.core.accounts import Account
from tidings.core.broadcasts import Broadcast
from tidings.core.custom_fields import CustomField
from tidings.core.forms import Form
from tidings.core.purchases import Purchase
from tidings.core.sequences import Sequence
from tidings.core.subscribers import Subscriber
from tidings.core.subscriptions import Subscription
from tidings.core.tags import Tag
from tidings.core.webhooks import Webhook
from tidings.tokens import Links
from tidings.web.http import Reply, json_reply

Json = dict[str, Any]

_TYPES = {"form": "form", "sequence": "course", "tag": "tag"}
_UNAUTHORIZED = {
    "absent": "API Key not present",
    "unknown": "API Key not valid",
    "insufficient": "You do not have sufficient permissions to access this resource",
    "unknown_integration": "Integration key not valid",
}
# How long a client may wait before it tries a write again that the storage refused.
UNAVAILABLE_S = 5
# Only these nouns have errors of their own, and only where somebody subscribes to them.
SUBSCRIBE_NOT_FOUND = {"sequence": "Course not found", "tag": "Tag not found"}


def stamp(at: int) -> str:
    """Return a time as `2023-06-15T13:27:42.000Z`; the milliseconds are always zero."""
    return _stamp(at // 1_000)


@lru_cache(maxsize=8_192)
def _stamp(seconds: int) -> str:
    try:
        parts = time.gmtime(seconds)
    except (OverflowError, OSError):
        parts = time.gmtime(0)
    # strftime's %Y does not pad years below 1000.
    return f"{parts.tm_year:04d}-{time.strftime('%m-%dT%H:%M:%S', parts)}.000Z"


def account(one: Account) -> Json:
    return {"name": one.name, "plan_type": one.plan, "primary_email_address": one.primary_email}


def subscriber(one: Subscriber) -> Json:
    return {
        "id": one.id,
        "first_name": one.first_name,
        "email_address": one.email,
        "state": one.state,
        "created_at": stamp(one.created_at),
        "fields": one.fields,
    }


def subscription(one: Subscription, who: Subscriber, *, whole: bool) -> Json:
    """`whole` shows the person; the public key sees only the id."""
    return {
        "id": one.id,
        "state": one.state,
        "created_at": stamp(one.created_at),
        "source": one.source,
        "referrer": one.referrer,
        "subscribable_id": one.ref_id,
        "subscribable_type": _TYPES[one.kind],
        "subscriber": subscriber(who) if whole else {"id": who.id},
    }


def tag(one: Tag) -> Json:
    return {"id": one.id, "name": one.name, "created_at": stamp(one.created_at)}


def created_tag(one: Tag, account_id: int) -> Json:
    return {
        "account_id": account_id,
        "created_at": stamp(one.created_at),
        "deleted_at": None,
        "id": one.id,
        "name": one.name,
        "state": "available",
        "updated_at": stamp(one.updated_at),
    }


def form(one: Form, links: Links, api_key: str) -> Json:
    return {
        "id": one.id,
        "name": one.name,
        "created_at": stamp(one.created_at),
        "type": one.type,
        "format": one.format,
        "embed_js": links.form_embed(one.id, api_key, "js"),
        "embed_url": links.form_embed(one.id, api_key, "html"),
        "url": links.form_page(one.uid),
        "title": one.title,
        "description": one.description or "",
        "sign_up_button_text": one.sign_up_button_text,
        "success_message": one.success_message,
        "archived": one.archived_at is not None,
        "uid": one.uid,
    }


def sequence(one: Sequence) -> Json:
    return {
        "id": one.id,
        "name": one.name,
        "hold": one.at_end == "hold",
        "repeat": one.entry == "repeat",
        "created_at": stamp(one.created_at),
    }


def custom_field(one: CustomField) -> Json:
    return {"id": one.id, "name": one.name, "key": one.key, "label": one.label}


def broadcast(one: Broadcast) -> Json:
    return {
        "id": one.id,
        "created_at": stamp(one.created_at),
        "subject": one.subject,
        "description": one.description,
        "content": one.content,
        "public": one.visibility == "public",
        "published_at": stamp(one.published_at),
        "send_at": stamp(one.send_at) if one.send_at is not None else None,
        "thumbnail_alt": one.thumbnail_alt,
        "thumbnail_url": one.thumbnail_url,
        "email_address": one.email_address,
        "email_layout_template": one.email_layout_template,
    }


def broadcast_line(one: Broadcast) -> Json:
    return {"id": one.id, "created_at": stamp(one.created_at), "subject": one.subject}


def stats(one: Broadcast, *, opens: bool, clicks: bool) -> Json:
    """Percents are floats even when whole: strict clients decode them so.

    `opens` and `clicks` say whether the account keeps them. What machines opened and clicked is in
    no number here.
    """
    return {
        "recipients": one.recipients,
        "open_rate": _percent(one.opens, one.recipients),
        "click_rate": _percent(one.clicks, one.recipients),
        "unsubscribes": one.unsubscribes,
        "unsubscribe_rate": _percent(one.unsubscribes, one.recipients),
        "emails_opened": one.opens,
        "emails_clicked": one.clicks,
        "total_clicks": one.total_clicks,
        "show_total_clicks": False,
        "status": one.status,
        "progress": one.progress,
        "open_tracking_disabled": not opens,
        "click_tracking_disabled": not clicks,
    }


def _percent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else 0.0


def rule(one: Webhook, account_id: int) -> Json:
    event: Json = {"name": one.event}
    if one.subject:
        event[one.subject] = one.subject_id if one.subject_id is not None else one.value
    shown = {"id": one.id, "account_id": account_id, "event": event, "target_url": one.target_url}
    return {"rule": shown}


def purchase(one: Purchase) -> Json:
    return {
        "id": one.id,
        "transaction_id": one.transaction_id,
        "status": one.status,
        "email_address": one.email,
        "currency": one.currency,
        "transaction_time": stamp(one.transaction_at),
        "subtotal": _money(one.subtotal),
        "discount": _money(one.discount),
        "tax": _money(one.tax),
        "shipping": _money(one.shipping),
        "total": _money(one.total),
        "products": [
            {
                "quantity": line.quantity,
                "lid": line.lid,
                "unit_price": _money(line.unit_price),
                "sku": line.sku,
                "name": line.name,
                "pid": line.pid,
            }
            for line in one.products
        ],
    }


def _money(amount: str) -> msgspec.Raw:
    """Return decimal text as a JSON number, digit for digit."""
    return msgspec.Raw(amount.encode())


def listed(name: str, total: int, asked: int, per_page: int, rows: list[Json]) -> Json:
    """Return a page of a list with its totals; an empty list has one page."""
    pages = max(1, -(-total // per_page))
    return {f"total_{name}": total, "page": asked, "total_pages": pages, name: rows}


def error(status: int, title: str, message: str) -> Reply:
    """Return an error as v3 says it: both keys, always."""
    return json_reply(status, {"error": title, "message": message})


def problem(one: errors.Problem, *, subscribing: bool, missing: str) -> Reply:
    """Return what v3 says to a problem. `missing` is the endpoint's title for missing values."""
    match one:
        case errors.Unauthorized():
            said = 401, "Authorization Failed", _UNAUTHORIZED[one.reason]
        case errors.NotFound() if subscribing and one.what in SUBSCRIBE_NOT_FOUND:
            said = 404, SUBSCRIBE_NOT_FOUND[one.what], ""
        case errors.NotFound():
            said = 404, "Not Found", "The entity you were trying to find doesn't exist"
        case errors.Missing():
            said = 400, missing, one.message
        case errors.Invalid(field="fields"):
            said = 400, "Bad Request", "No more than 125 custom fields may be updated at once"
        case errors.Invalid(field="Email address" | "First name"):
            said = 422, "Error updating subscriber", one.message
        case errors.Invalid() | errors.Conflict():
            said = 422, "Unprocessable Entity", one.message
        case errors.Forbidden():
            said = 403, "Forbidden", one.message
        case errors.TooMany():
            plural = "" if one.retry_after == 1 else "s"
            said = 429, "Rate limit exceeded", f"Try again in {one.retry_after} second{plural}"
        case errors.Unavailable():
            said = 503, "Service Unavailable", one.message
        case _:
            raise AssertionError(f"no v3 error for {type(one).__name__}")
    reply = error(*said)
    wait = one.retry_after if isinstance(one, errors.TooMany) else UNAVAILABLE_S
    if reply.status in (429, 503):
        reply.headers.append((b"retry-after", str(wait).encode()))
    return reply
