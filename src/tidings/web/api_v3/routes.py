"""The routes of the v3 API: one line each."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tidings.web.api_v3 import broadcasts, hooks, purchases, subscribables, subscribers
from tidings.web.api_v3.call import Call
from tidings.web.http import Reply

MISSING = "Missing parameter"


@dataclass(frozen=True, slots=True)
class Route:
    """`secret` says that the public key is not enough; `public` that browsers may call it.

    `endpoint` is None where another door answers (the form's script and page).
    """

    method: str
    pattern: str
    endpoint: Callable[[Call], Awaitable[Reply]] | None
    secret: bool = True
    subscribing: bool = False
    missing: str = MISSING


def _of(kind: str, name: str) -> tuple[Route, ...]:
    """Return the routes that forms, sequences (also as courses) and tags have alike."""
    one = f"/v3/{name}/{{id}}"
    return (
        Route("POST", f"{one}/subscribe", subscribables.subscribe(kind), secret=False, subscribing=True),
        Route("POST", f"{one}/unsubscribe", subscribables.unsubscribe(kind)),
        Route("GET", f"{one}/subscriptions", subscribables.list_subscriptions(kind)),
    )


ROUTES: tuple[Route, ...] = (
    Route("GET", "/v3/account", subscribables.account),
    Route("GET", "/v3/forms", subscribables.list_forms, secret=False),
    Route("GET", "/v3/forms/{id}", subscribables.get_form, secret=False),
    Route("GET", "/v3/subscription_forms", subscribables.list_subscription_forms, secret=False),
    Route("GET", "/v3/forms/{id}.js", None, secret=False),
    Route("GET", "/v3/forms/{id}.html", None, secret=False),
    *_of("form", "forms"),
    Route("GET", "/v3/sequences", subscribables.list_sequences, secret=False),
    *_of("sequence", "sequences"),
    Route("GET", "/v3/courses", subscribables.list_sequences, secret=False),
    *_of("sequence", "courses"),
    Route("GET", "/v3/tags", subscribables.list_tags, secret=False),
    Route("POST", "/v3/tags", subscribables.create_tags, secret=False),
    *_of("tag", "tags"),
    Route("GET", "/v3/subscribers", subscribers.list_subscribers),
    Route("GET", "/v3/subscribers/{id}", subscribers.get_subscriber),
    Route("PUT", "/v3/subscribers/{id}", subscribers.update_subscriber),
    Route("GET", "/v3/subscribers/{id}/tags", subscribers.list_subscriber_tags, secret=False),
    Route("DELETE", "/v3/subscribers/{id}/tags/{id}", subscribers.remove_tag),
    Route("PUT", "/v3/unsubscribe", subscribers.unsubscribe),
    Route("GET", "/v3/broadcasts", broadcasts.list_broadcasts),
    Route("POST", "/v3/broadcasts", broadcasts.create_broadcast),
    Route("GET", "/v3/broadcasts/{id}", broadcasts.get_broadcast),
    Route("PUT", "/v3/broadcasts/{id}", broadcasts.update_broadcast),
    Route("DELETE", "/v3/broadcasts/{id}", broadcasts.delete_broadcast),
    Route("GET", "/v3/broadcasts/{id}/stats", broadcasts.get_stats),
    Route("GET", "/v3/automations/hooks", hooks.list_hooks),
    Route("POST", "/v3/automations/hooks", hooks.create_hook),
    Route("DELETE", "/v3/automations/hooks/{id}", hooks.delete_hook),
    Route("GET", "/v3/custom_fields", subscribers.list_custom_fields, secret=False),
    Route("POST", "/v3/custom_fields", subscribers.create_custom_fields),
    Route("GET", "/v3/custom_fields/{id}", subscribers.get_custom_field, secret=False),
    Route("PUT", "/v3/custom_fields/{id}", subscribers.update_custom_field),
    Route("DELETE", "/v3/custom_fields/{id}", subscribers.delete_custom_field),
    Route("GET", "/v3/purchases", purchases.list_purchases),
    Route("GET", "/v3/purchases/{id}", purchases.get_purchase),
    Route("POST", "/v3/purchases", purchases.create_purchase, missing="Your request is missing parameters"),
    Route("GET", "/v3/openapi.json", None, secret=False),
)

Methods = dict[str, Route]
_TABLE: dict[tuple[int, str], list[tuple[tuple[str, ...], Methods]]] = {}

for _route in ROUTES:
    _parts = tuple(_route.pattern.split("/")[2:])
    _row = _TABLE.setdefault((len(_parts), _parts[0]), [])
    _methods = next((known for parts, known in _row if parts == _parts), None)
    if _methods is None:
        _methods = {}
        _row.append((_parts, _methods))
    _methods[_route.method] = _route


def find(path: str) -> tuple[Methods, list[str]] | None:
    """Return the methods of a normalised path below `/v3/`, and its ids as they were written."""
    if not path.startswith("/v3/"):
        return None
    given = path.split("/")[2:]
    for parts, methods in _TABLE.get((len(given), given[0]), ()):
        ids = []
        for part, piece in zip(parts, given, strict=True):
            if part == "{id}":
                ids.append(piece)
            elif part != piece:
                break
        else:
            return methods, ids
    return None
