"""The calls whose answers are kept in `golden/`: at least one for every endpoint and case.

A case is a call in a fresh world, with the calls that come before it. Names are the files' names.
"""

from dataclasses import dataclass, field
from typing import Any

from tests.api_v3.operations import BROADCAST, PERSON, PURCHASE
from tests.api_v3.world import ADA, UNKNOWN

Params = dict[str, Any]
K, S = ADA.key, ADA.secret
JON = {"email": "jon@example.com"}
BEA = {"email": "bea@example.com"}
KIM = {"email": "kim@example.com"}
BAD = {"email": "not an address"}
FORM = f"/v3/forms/{ADA.plain}"
DOUBLE = f"/v3/forms/{ADA.double}"
SEQUENCE = f"/v3/sequences/{ADA.sequence}"
TAG = f"/v3/tags/{ADA.tag}"
PERSON_AT = f"/v3/subscribers/{ADA.bea}"
FIELD = f"/v3/custom_fields/{ADA.last_name}"


@dataclass(frozen=True)
class Case:
    """A call, and the calls before it."""

    name: str
    method: str
    path: str
    params: Params = field(default_factory=dict)
    before: tuple[tuple[str, str, Params], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()


def _many_fields(count: int) -> Params:
    return {f"field_{at}": str(at) for at in range(count)}


def _hook(name: str, **extra: object) -> Params:
    return {**S, "target_url": "https://hooks.example/new", "event": {"name": name, **extra}}


def _purchase(**changed: object) -> Params:
    return {**S, "purchase": {**PURCHASE, **changed}}


_JOINED = ("POST", f"{FORM}/subscribe", {**S, **JON})
_BOUGHT = ("POST", "/v3/purchases", _purchase())

ACCOUNT = [
    Case("account", "GET", "/v3/account", S),
    Case("account-without-credentials", "GET", "/v3/account"),
    Case("account-unknown-secret", "GET", "/v3/account", {"api_secret": "wrong"}),
    Case("account-with-the-key", "GET", "/v3/account", K),
    Case("account-head", "HEAD", "/v3/account", S),
    Case("account-other-method", "DELETE", "/v3/account", S),
    Case("unknown-path", "GET", "/v3/nothing", S),
    Case("root", "GET", "/v3", S),
    Case("malformed-json", "POST", "/v3/tags", {}, headers=(("x-raw-body", '{"tag": {'),)),
]
FORMS = [
    Case("forms-list-key", "GET", "/v3/forms", K),
    Case("forms-list-secret", "GET", "/v3/forms", S),
    Case("forms-get", "GET", FORM, K),
    Case("forms-get-unknown", "GET", f"/v3/forms/{UNKNOWN}", K),
    Case("forms-get-no-number", "GET", "/v3/forms/abc", K),
    Case("forms-preflight", "OPTIONS", f"{FORM}/subscribe", headers=(("origin", "https://x.example"),)),
    Case("subscription-forms-list", "GET", "/v3/subscription_forms", K),
    Case("forms-unsubscribe", "POST", f"{FORM}/unsubscribe", {**S, **BEA}),
    Case("forms-unsubscribe-unknown-email", "POST", f"{FORM}/unsubscribe", {**S, **JON}),
    Case("forms-unsubscribe-without-email", "POST", f"{FORM}/unsubscribe", S),
    Case("forms-unsubscribe-unknown-form", "POST", f"/v3/forms/{UNKNOWN}/unsubscribe", {**S, **BEA}),
]
SUBSCRIBE = [
    Case("forms-subscribe-key", "POST", f"{FORM}/subscribe", {**K, **JON, **PERSON, "tags": [ADA.vip]}),
    Case("forms-subscribe-secret", "POST", f"{FORM}/subscribe", {**S, **JON, **PERSON, "tags": "301,302"}),
    Case("forms-subscribe-double", "POST", f"{DOUBLE}/subscribe", {**S, **JON}),
    Case("forms-subscribe-twice", "POST", f"{FORM}/subscribe", {**S, **JON}, (_JOINED,)),
    Case("forms-subscribe-spaces-and-case", "POST", f"{FORM}/subscribe", {**S, "email": " BEA@example.com "}),
    Case("forms-subscribe-cancelled", "POST", f"{FORM}/subscribe", {**S, **KIM}),
    Case("forms-subscribe-cancelled-double", "POST", f"{DOUBLE}/subscribe", {**S, **KIM}),
    Case("forms-subscribe-bounced", "POST", f"{DOUBLE}/subscribe", {**S, "email": "dee@example.com"}),
    Case("forms-subscribe-without-email", "POST", f"{FORM}/subscribe", K),
    Case("forms-subscribe-malformed-email", "POST", f"{FORM}/subscribe", {**K, **BAD}),
    Case("forms-subscribe-unknown-form", "POST", f"/v3/forms/{UNKNOWN}/subscribe", {**K, **BAD}),
    Case(
        "forms-subscribe-126-fields",
        "POST",
        f"{FORM}/subscribe",
        {**S, **JON, "fields": _many_fields(126)},
    ),
    Case("sequences-subscribe-key", "POST", f"{SEQUENCE}/subscribe", {**K, **JON}),
    Case("sequences-subscribe-secret", "POST", f"{SEQUENCE}/subscribe", {**S, **JON, "first_name": "Jon"}),
    Case("sequences-subscribe-cancelled", "POST", f"{SEQUENCE}/subscribe", {**S, **KIM}),
    Case("sequences-subscribe-unknown", "POST", f"/v3/sequences/{UNKNOWN}/subscribe", {**K, **JON}),
    Case("sequences-subscribe-malformed-email", "POST", f"{SEQUENCE}/subscribe", {**K, **BAD}),
    Case("courses-subscribe", "POST", f"/v3/courses/{ADA.sequence}/subscribe", {**S, **JON}),
    Case("courses-subscribe-unknown", "POST", f"/v3/courses/{UNKNOWN}/subscribe", {**K, **JON}),
    Case("tags-subscribe-key", "POST", f"{TAG}/subscribe", {**K, **JON}),
    Case("tags-subscribe-secret", "POST", f"{TAG}/subscribe", {**S, **JON}),
    Case("tags-subscribe-cancelled", "POST", f"{TAG}/subscribe", {**S, **KIM}),
    Case("tags-subscribe-unknown", "POST", f"/v3/tags/{UNKNOWN}/subscribe", {**K, **JON}),
    Case("tags-subscribe-malformed-email", "POST", f"{TAG}/subscribe", {**K, **BAD}),
]
SUBSCRIPTIONS = [
    Case("forms-subscriptions", "GET", f"{FORM}/subscriptions", S),
    Case("forms-subscriptions-desc", "GET", f"{FORM}/subscriptions", {**S, "sort_order": "desc"}),
    Case("forms-subscriptions-active", "GET", f"{FORM}/subscriptions", {**S, "subscriber_state": "active"}),
    Case(
        "forms-subscriptions-cancelled",
        "GET",
        f"{FORM}/subscriptions",
        {**S, "subscriber_state": "cancelled"},
    ),
    Case("forms-subscriptions-beyond-the-end", "GET", f"{FORM}/subscriptions", {**S, "page": 900}),
    Case("forms-subscriptions-empty", "GET", f"/v3/forms/{ADA.hosted}/subscriptions", S),
    Case("forms-subscriptions-bad-order", "GET", f"{FORM}/subscriptions", {**S, "sort_order": "up"}),
    Case(
        "forms-subscriptions-bad-state", "GET", f"{FORM}/subscriptions", {**S, "subscriber_state": "bounced"}
    ),
    Case("forms-subscriptions-unknown-form", "GET", f"/v3/forms/{UNKNOWN}/subscriptions", S),
    Case("sequences-subscriptions", "GET", f"{SEQUENCE}/subscriptions", S),
    Case("sequences-subscriptions-unknown", "GET", f"/v3/sequences/{UNKNOWN}/subscriptions", S),
    Case("courses-subscriptions", "GET", f"/v3/courses/{ADA.sequence}/subscriptions", S),
    Case("tags-subscriptions", "GET", f"{TAG}/subscriptions", S),
    Case(
        "tags-subscriptions-cancelled", "GET", f"{TAG}/subscriptions", {**S, "subscriber_state": "cancelled"}
    ),
    Case("tags-subscriptions-unknown", "GET", f"/v3/tags/{UNKNOWN}/subscriptions", S),
]
SEQUENCES_AND_TAGS = [
    Case("sequences-list", "GET", "/v3/sequences", K),
    Case("courses-list", "GET", "/v3/courses", K),
    Case("sequences-unsubscribe", "POST", f"{SEQUENCE}/unsubscribe", {**S, **BEA}),
    Case("sequences-unsubscribe-unknown", "POST", f"/v3/sequences/{UNKNOWN}/unsubscribe", {**S, **BEA}),
    Case("courses-unsubscribe", "POST", f"/v3/courses/{ADA.sequence}/unsubscribe", {**S, **BEA}),
    Case("tags-list", "GET", "/v3/tags", K),
    Case("tags-create", "POST", "/v3/tags", {**K, "tag": {"name": " New "}}),
    Case("tags-create-array-of-one", "POST", "/v3/tags", {**K, "tag": [{"name": "New"}]}),
    Case("tags-create-array", "POST", "/v3/tags", {**S, "tag": [{"name": "New"}, {"name": "Ä"}]}),
    Case("tags-create-blank", "POST", "/v3/tags", {**K, "tag": {"name": " "}}),
    Case("tags-create-without", "POST", "/v3/tags", K),
    Case("tags-create-taken", "POST", "/v3/tags", {**K, "tag": {"name": "vip"}}),
    Case(
        "tags-create-array-with-a-taken", "POST", "/v3/tags", {**K, "tag": [{"name": "N"}, {"name": "vip"}]}
    ),
    Case("tags-unsubscribe", "POST", f"{TAG}/unsubscribe", {**S, **BEA}),
    Case("tags-unsubscribe-unknown-email", "POST", f"{TAG}/unsubscribe", {**S, **JON}),
    Case("tags-unsubscribe-malformed-email", "POST", f"{TAG}/unsubscribe", {**S, **BAD}),
    Case("tags-unsubscribe-without-email", "POST", f"{TAG}/unsubscribe", S),
    Case("tags-unsubscribe-unknown-tag", "POST", f"/v3/tags/{UNKNOWN}/unsubscribe", {**S, **BEA}),
]
SUBSCRIBERS = [
    Case("subscribers-list", "GET", "/v3/subscribers", S),
    Case("subscribers-list-cancelled", "GET", "/v3/subscribers", {**S, "sort_field": "cancelled_at"}),
    Case("subscribers-list-by-email", "GET", "/v3/subscribers", {**S, "email_address": "CAL@example.com"}),
    Case("subscribers-list-unknown-email", "GET", "/v3/subscribers", {**S, "email_address": JON["email"]}),
    Case("subscribers-list-malformed-email", "GET", "/v3/subscribers", {**S, "email_address": BAD["email"]}),
    Case(
        "subscribers-list-from-to", "GET", "/v3/subscribers", {**S, "from": "2023-06-13", "to": "2023-06-13"}
    ),
    Case(
        "subscribers-list-turned-dates",
        "GET",
        "/v3/subscribers",
        {**S, "from": "2024-01-01", "to": "2023-01-01"},
    ),
    Case("subscribers-list-beyond-the-end", "GET", "/v3/subscribers", {**S, "page": 900}),
    Case("subscribers-list-page-no-number", "GET", "/v3/subscribers", {**S, "page": "two"}),
    Case("subscribers-list-bad-order", "GET", "/v3/subscribers", {**S, "sort_order": "up"}),
    Case("subscribers-list-bad-field", "GET", "/v3/subscribers", {**S, "sort_field": "name"}),
    Case("subscribers-list-bad-date", "GET", "/v3/subscribers", {**S, "updated_from": "13.06.2023"}),
    Case("subscribers-get", "GET", PERSON_AT, S),
    Case("subscribers-get-unconfirmed", "GET", f"/v3/subscribers/{ADA.cal}", S),
    Case("subscribers-get-unknown", "GET", f"/v3/subscribers/{UNKNOWN}", S),
    Case(
        "subscribers-update",
        "PUT",
        PERSON_AT,
        {**S, "first_name": "B.", "fields": {"last_name": None, "x": 1}},
    ),
    Case("subscribers-update-address", "PUT", PERSON_AT, {**S, "email_address": " Beatrice@example.com "}),
    Case("subscribers-update-nothing", "PUT", PERSON_AT, S),
    Case("subscribers-update-10-fields", "PUT", PERSON_AT, {**S, "fields": _many_fields(10)}),
    Case(
        "subscribers-update-11-fields", "PUT", PERSON_AT, {**S, "fields": {**_many_fields(10), "grosse": 8}}
    ),
    Case("subscribers-update-125-fields", "PUT", PERSON_AT, {**S, "fields": _many_fields(125)}),
    Case("subscribers-update-126-fields", "PUT", PERSON_AT, {**S, "fields": _many_fields(126)}),
    Case("subscribers-update-taken-address", "PUT", PERSON_AT, {**S, "email_address": "KIM@example.com"}),
    Case("subscribers-update-malformed-address", "PUT", PERSON_AT, {**S, "email_address": "no"}),
    Case("subscribers-update-unknown", "PUT", f"/v3/subscribers/{UNKNOWN}", S),
    Case("subscribers-tags", "GET", f"/v3/subscribers/{ADA.kim}/tags", K),
    Case("subscribers-tags-none", "GET", f"/v3/subscribers/{ADA.dee}/tags", K),
    Case("subscribers-tags-unknown", "GET", f"/v3/subscribers/{UNKNOWN}/tags", K),
    Case("subscribers-remove-tag", "DELETE", f"{PERSON_AT}/tags/{ADA.tag}", S),
    Case("subscribers-remove-tag-not-applied", "DELETE", f"{PERSON_AT}/tags/{ADA.vip}", S),
    Case("subscribers-remove-tag-unknown", "DELETE", f"{PERSON_AT}/tags/{UNKNOWN}", S),
    Case("unsubscribe", "PUT", "/v3/unsubscribe", {**S, **BEA}),
    Case("unsubscribe-twice", "PUT", "/v3/unsubscribe", {**S, **KIM}),
    Case("unsubscribe-unknown-email", "PUT", "/v3/unsubscribe", {**S, **JON}),
    Case("unsubscribe-malformed-email", "PUT", "/v3/unsubscribe", {**S, **BAD}),
    Case("unsubscribe-without-email", "PUT", "/v3/unsubscribe", S),
]
FIELDS = [
    Case("custom-fields-list", "GET", "/v3/custom_fields", K),
    Case("custom-fields-get", "GET", FIELD, K),
    Case("custom-fields-get-unknown", "GET", f"/v3/custom_fields/{UNKNOWN}", K),
    Case("custom-fields-create", "POST", "/v3/custom_fields", {**S, "label": " Discount Code "}),
    Case("custom-fields-create-array-of-one", "POST", "/v3/custom_fields", {**S, "label": ["Shoe"]}),
    Case("custom-fields-create-array", "POST", "/v3/custom_fields", {**S, "label": ["Shoe", "Œuvre № 1"]}),
    Case("custom-fields-create-blank", "POST", "/v3/custom_fields", {**S, "label": ""}),
    Case("custom-fields-create-taken", "POST", "/v3/custom_fields", {**S, "label": "LAST NAME"}),
    Case("custom-fields-create-key-taken", "POST", "/v3/custom_fields", {**S, "label": "last-name"}),
    Case("custom-fields-create-not-latin", "POST", "/v3/custom_fields", {**S, "label": "名前"}),
    Case("custom-fields-update", "PUT", FIELD, {**S, "label": "Surname"}),
    Case(
        "custom-fields-list-renamed",
        "GET",
        "/v3/custom_fields",
        K,
        (("PUT", FIELD, {**S, "label": "Surname"}),),
    ),
    Case("custom-fields-update-blank", "PUT", FIELD, S),
    Case("custom-fields-update-taken", "PUT", FIELD, {**S, "label": "größe"}),
    Case("custom-fields-update-unknown", "PUT", f"/v3/custom_fields/{UNKNOWN}", {**S, "label": "x"}),
    Case("custom-fields-delete", "DELETE", FIELD, S),
    Case("custom-fields-delete-twice", "DELETE", FIELD, S, (("DELETE", FIELD, S),)),
    Case("subscribers-get-field-deleted", "GET", PERSON_AT, S, (("DELETE", FIELD, S),)),
]
BROADCASTS = [
    Case("broadcasts-list", "GET", "/v3/broadcasts", S),
    Case("broadcasts-list-desc", "GET", "/v3/broadcasts", {**S, "sort_order": "desc"}),
    Case("broadcasts-list-beyond-the-end", "GET", "/v3/broadcasts", {**S, "page": 9}),
    Case("broadcasts-list-bad-order", "GET", "/v3/broadcasts", {**S, "sort_order": "up"}),
    Case("broadcasts-create-empty", "POST", "/v3/broadcasts", S),
    Case("broadcasts-create", "POST", "/v3/broadcasts", {**S, **BROADCAST}),
    Case(
        "broadcasts-create-foreign-sender", "POST", "/v3/broadcasts", {**S, "email_address": "x@example.com"}
    ),
    Case("broadcasts-create-bad-time", "POST", "/v3/broadcasts", {**S, "send_at": "tomorrow"}),
    Case("broadcasts-get", "GET", f"/v3/broadcasts/{ADA.scheduled}", S),
    Case("broadcasts-get-unknown", "GET", f"/v3/broadcasts/{UNKNOWN}", S),
    Case("broadcasts-update", "PUT", f"/v3/broadcasts/{ADA.scheduled}", {**S, "subject": "Changed"}),
    Case("broadcasts-update-sent", "PUT", f"/v3/broadcasts/{ADA.sent}", {**S, "subject": "Changed"}),
    Case("broadcasts-update-unknown", "PUT", f"/v3/broadcasts/{UNKNOWN}", {**S, "subject": "Changed"}),
    Case("broadcasts-delete", "DELETE", f"/v3/broadcasts/{ADA.draft}", S),
    Case("broadcasts-delete-sending", "DELETE", f"/v3/broadcasts/{ADA.sending}", S),
    Case("broadcasts-delete-unknown", "DELETE", f"/v3/broadcasts/{UNKNOWN}", S),
    Case("broadcasts-stats", "GET", f"/v3/broadcasts/{ADA.sent}/stats", S),
    Case("broadcasts-stats-draft", "GET", f"/v3/broadcasts/{ADA.draft}/stats", S),
    Case("broadcasts-stats-unknown", "GET", f"/v3/broadcasts/{UNKNOWN}/stats", S),
]
HOOKS = [
    Case("hooks-list", "GET", "/v3/automations/hooks", S),
    Case("hooks-create-tag-add", "POST", "/v3/automations/hooks", _hook("subscriber.tag_add", tag_id="301")),
    Case("hooks-create-activate", "POST", "/v3/automations/hooks", _hook("subscriber.subscriber_activate")),
    Case(
        "hooks-create-course-id",
        "POST",
        "/v3/automations/hooks",
        _hook("subscriber.course_subscribe", course_id=201),
    ),
    Case(
        "hooks-create-sequence-id",
        "POST",
        "/v3/automations/hooks",
        _hook("subscriber.course_complete", sequence_id=201),
    ),
    Case(
        "hooks-create-link-click",
        "POST",
        "/v3/automations/hooks",
        _hook("subscriber.link_click", initiator_value="https://example.com/a?b=1"),
    ),
    Case(
        "hooks-create-product",
        "POST",
        "/v3/automations/hooks",
        _hook("subscriber.product_purchase", product_id=5),
    ),
    Case("hooks-create-purchase", "POST", "/v3/automations/hooks", _hook("purchase.purchase_create")),
    Case("hooks-create-unknown-event", "POST", "/v3/automations/hooks", _hook("subscriber.nothing")),
    Case("hooks-create-missing-extra", "POST", "/v3/automations/hooks", _hook("subscriber.form_subscribe")),
    Case(
        "hooks-create-bad-target",
        "POST",
        "/v3/automations/hooks",
        {**_hook("purchase.purchase_create"), "target_url": "x"},
    ),
    Case("hooks-create-nothing", "POST", "/v3/automations/hooks", S),
    Case("hooks-delete", "DELETE", f"/v3/automations/hooks/{ADA.hook}", S),
    Case("hooks-delete-unknown", "DELETE", f"/v3/automations/hooks/{UNKNOWN}", S),
]
PURCHASES = [
    Case("purchases-list", "GET", "/v3/purchases", S, (_BOUGHT,)),
    Case("purchases-list-beyond-the-end", "GET", "/v3/purchases", {**S, "page": 9}),
    Case("purchases-list-without-credentials", "GET", "/v3/purchases"),
    Case("purchases-list-with-the-key", "GET", "/v3/purchases", K),
    Case("purchases-get", "GET", f"/v3/purchases/{ADA.purchase}", S),
    Case("purchases-get-unknown", "GET", f"/v3/purchases/{UNKNOWN}", S),
    Case("purchases-create", "POST", "/v3/purchases", _purchase()),
    Case("purchases-create-again", "POST", "/v3/purchases", _purchase(total=1, products=[]), (_BOUGHT,)),
    Case(
        "purchases-create-missing",
        "POST",
        "/v3/purchases",
        _purchase(
            transaction_id=None,
            products=[{"pid": 1, "lid": 2, "name": "Floppy Disk (512k)", "unit_price": 5}],
        ),
    ),
    Case(
        "purchases-create-everything-missing", "POST", "/v3/purchases", {**S, "purchase": {"products": [{}]}}
    ),
    Case("purchases-create-nothing", "POST", "/v3/purchases", S),
    Case("purchases-create-malformed-email", "POST", "/v3/purchases", _purchase(email_address="no")),
    Case("purchases-create-bad-amount", "POST", "/v3/purchases", _purchase(total="much")),
    Case(
        "purchases-create-same-lid",
        "POST",
        "/v3/purchases",
        _purchase(products=[{"pid": 1, "lid": 2, "name": "A"}, {"pid": 1, "lid": 2, "name": "B"}]),
    ),
    Case(
        "purchases-create-unknown-integration",
        "POST",
        "/v3/purchases",
        {**_purchase(), "integration_key": "nobodys"},
    ),
]

CASES = [
    *ACCOUNT,
    *FORMS,
    *SUBSCRIBE,
    *SUBSCRIPTIONS,
    *SEQUENCES_AND_TAGS,
    *SUBSCRIBERS,
    *FIELDS,
    *BROADCASTS,
    *HOOKS,
    *PURCHASES,
]
