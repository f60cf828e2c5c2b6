"""Every operation of the OpenAPI document, with a call of it that succeeds in the world of `world`.

The document decides what there is: an operation or a documented parameter without a value here fails
`test_tenants`, so neither can be forgotten.
"""

import re
from dataclasses import dataclass
from typing import Any

from tests.api_v3 import conformance
from tests.api_v3.world import UNKNOWN, Account

PERSON = {
    "first_name": "Jon",
    "name": "Old name",
    "fields": {"last_name": "Snow", "grosse": "9"},
}
LISTED = {"page": 1, "sort_order": "asc"}
PURCHASE = {
    "transaction_id": "order-77",
    "email_address": "jon@example.com",
    "first_name": "Jon",
    "currency": "eur",
    "transaction_time": "2018-03-17 11:28:04",
    "subtotal": 20.0,
    "tax": 2.5,
    "shipping": 2,
    "discount": 3.0,
    "total": 21.5,
    "status": "paid",
    "integration": "A shop",
    "products": [
        {"pid": 9999, "lid": 7777, "name": "Floppy", "sku": "f-1", "unit_price": 5.0, "quantity": 2},
        {"pid": 5555, "lid": 7778, "name": "Phone", "sku": "t-1", "unit_price": 10.0, "quantity": 1},
    ],
}
BROADCAST = {
    "subject": "Hello",
    "content": "<p>Hi</p>",
    "description": "What it is about",
    "email_layout_template": "Text only",
    "public": True,
    "published_at": "2023-06-01 09:00:00",
    "send_at": "2030-01-01T10:00:00+02:00",
    "thumbnail_alt": "A picture",
    "thumbnail_url": "https://pictures.example/1.png",
}


@dataclass(frozen=True)
class Operation:
    """A method and a path of the document, and whether the public key is enough."""

    method: str
    template: str
    opens_with_key: bool

    @property
    def names(self) -> list[str]:
        """The ids in the path, by name."""
        return re.findall(r"\{(\w+)\}", self.template)

    def path(self, **ids: object) -> str:
        return self.template.format(**ids)

    def of(self, account: Account) -> str:
        """The path with an account's own ids."""
        return self.path(**ids_of(self, account))

    @property
    def missing(self) -> str:
        """The path with ids that nobody has."""
        return self.path(**dict.fromkeys(self.names, UNKNOWN))

    def __str__(self) -> str:
        return f"{self.method} {self.template}"


def ids_of(operation: Operation, account: Account) -> dict[str, object]:
    """The account's own ids for a path; those that a DELETE or PUT is allowed to change."""
    known = {
        "form_id": account.plain,
        "sequence_id": account.sequence,
        "tag_id": account.tag,
        "subscriber_id": account.bea,
        "broadcast_id": account.draft,
        "rule_id": account.hook,
        "custom_field_id": account.last_name,
        "purchase_id": account.purchase,
    }
    return {name: known[name] for name in operation.names}


def good(operation: Operation, account: Account) -> dict[str, Any]:
    """Every documented parameter with a value that the operation takes; credentials left out."""
    known = _FIXED.get((operation.method, operation.template))
    if known is not None:
        return known
    last = operation.template.rpartition("/")[2]
    if last == "subscribe":
        also = {"tags": [account.vip], "forms": [account.plain], "courses": [account.repeating]}
        return {"email": "jon@example.com", **PERSON, **also}
    if last == "unsubscribe":
        return {"email": account.email("bea")}
    if last == "subscriptions":
        return {**LISTED, "subscriber_state": "active"}
    if operation.template == "/v3/broadcasts" and operation.method == "GET":
        return LISTED
    if operation.template.startswith("/v3/broadcasts") and operation.method in ("POST", "PUT"):
        return {**BROADCAST, "email_address": f"{account.name.lower()}@example.com"}
    if operation.template == "/v3/automations/hooks" and operation.method == "POST":
        target = "https://hooks.example/new"
        return {"target_url": target, "event": {"name": "subscriber.tag_add", "tag_id": account.tag}}
    return {}


_FIXED: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/v3/tags"): {"tag": [{"name": "New"}, {"name": "Newer"}]},
    ("POST", "/v3/custom_fields"): {"label": ["Shoe", "Hat"]},
    ("PUT", "/v3/custom_fields/{custom_field_id}"): {"label": "Family name"},
    ("POST", "/v3/purchases"): {"purchase": PURCHASE},
    ("GET", "/v3/purchases"): {"page": 1},
    ("PUT", "/v3/subscribers/{subscriber_id}"): {
        "first_name": "Beatrice",
        "email_address": "beatrice@example.com",
        "fields": {"last_name": "Rose", "grosse": None},
    },
    ("GET", "/v3/subscribers"): {
        **LISTED,
        "from": "2023-01-01",
        "to": "2023-12-31",
        "updated_from": "2023-01-01",
        "updated_to": "2023-12-31",
        "sort_field": "cancelled_at",
        "email_address": "bea@example.com",
    },
}


def documented(operation: Operation) -> set[str]:
    """The names of the parameters that the document has for an operation, ids and credentials left out."""
    found = set()
    pointer = f"/paths/{conformance.escape(operation.template)}/{operation.method.lower()}"
    _, described = conformance.follow(pointer)
    for parameter in described.get("parameters", []):
        if "$ref" in parameter:
            _, parameter = conformance.follow(parameter["$ref"].removeprefix("#"))  # noqa: PLW2901
        if parameter["in"] == "query":
            found.add(parameter["name"])
    if "requestBody" in described:
        schema = f"{pointer}/requestBody/content/application~1json/schema"
        found |= set(conformance.follow(schema)[1]["properties"])
    return found - {"api_key", "api_secret", "integration_key"}


def _operations() -> list[Operation]:
    found = []
    for template, item in conformance.SPEC["paths"].items():
        for verb, operation in item.items():
            if verb in conformance.METHODS and operation["security"]:
                key = {"apiKey": []} in operation["security"]
                found.append(Operation(verb.upper(), template, key))
    return found


OPERATIONS = _operations()
WITH_IDS = [one for one in OPERATIONS if one.names]
