"""Custom fields: what an account knows of its people beyond name and address.

Owns `custom_fields` and `field_erasures`. A field's key never changes; a deleted field's
values are unreadable at once and removed from the rows in slices by the engine.
"""

import re
import unicodedata
from collections.abc import Mapping
from decimal import Decimal

import msgspec

from tidings.errors import Invalid, NotFound
from tidings.store.tx import Rx, Tx

# What the printed reference allows, in one update as well as in one account.
FIELDS_MAX = 125
LABEL_MAX = 255
VALUE_MAX = 65_535

_NOT_KEY = re.compile(r"[^a-z0-9]+")
# Letters that Unicode does not take apart.
_SPELT = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "ae", "œ": "oe", "Œ": "oe", "ø": "o", "Ø": "o", "ł": "l", "Ł": "l", "đ": "d",
     "Đ": "d", "ð": "d", "Ð": "d", "þ": "th", "Þ": "th", "ı": "i"}
)  # fmt: skip
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class CustomField(msgspec.Struct, frozen=True):
    """One field; `key` is used in personalisation, `name` in the HTML of custom forms."""

    id: int
    key: str
    label: str

    @property
    def name(self) -> str:
        return f"ck_field_{self.id}_{self.key}"


def all_fields(rx: Rx) -> tuple[CustomField, ...]:
    """Return the account's fields in the order of their making."""
    return rx.remember(_load)


def find(rx: Rx, field_id: int) -> CustomField:
    """Return one field, or raise NotFound."""
    for field in all_fields(rx):
        if field.id == field_id:
            return field
    raise NotFound("custom field")


def taken(rx: Rx, field_id: int) -> bool:
    """Say whether a custom field of any account has this id: ids are one row of numbers over all accounts."""
    return rx.one("SELECT 1 FROM custom_fields WHERE id = :id", id=field_id) is not None


def create(tx: Tx, labels: list[str], *, ids: list[int] | None = None) -> list[CustomField]:
    """Make one field for each label, all or none."""
    there = _load(tx)
    if len(there) + len(labels) > FIELDS_MAX:
        raise Invalid("Label", f"is one too many: an account can have at most {FIELDS_MAX} custom fields")
    taken = {_label_key(field.label) for field in there} | {field.key for field in there}
    wanted = []
    for label in labels:
        clean = _clean_label(label)
        key = key_of(clean)
        if _label_key(clean) in taken or key in taken:
            raise Invalid("Label", "has already been taken")
        taken |= {_label_key(clean), key}
        wanted.append((clean, key))
    made = [
        CustomField(_insert(tx, clean, key, ids[at] if ids else None), key, clean)
        for at, (clean, key) in enumerate(wanted)
    ]
    tx.redefine()
    return made


def rename(tx: Tx, field_id: int, label: str) -> None:
    """Give a field another label; its key and name stay."""
    field = next((one for one in _load(tx) if one.id == field_id), None)
    if field is None:
        raise NotFound("custom field")
    clean = _clean_label(label)
    for other in _load(tx):
        if other.id != field_id and _label_key(clean) in (_label_key(other.label), other.key):
            raise Invalid("Label", "has already been taken")
    tx.run(
        "UPDATE custom_fields SET label = :label, label_key = :label_key, updated_at = :now"
        " WHERE account_id = :account_id AND id = :id",
        label=clean,
        label_key=_label_key(clean),
        now=tx.now,
        account_id=tx.account_id,
        id=field_id,
    )
    tx.redefine()


def delete(tx: Tx, field_id: int) -> None:
    """Delete a field; the engine removes its values from the rows, slice by slice."""
    gone = tx.run(
        "DELETE FROM custom_fields WHERE account_id = :account_id AND id = :id",
        account_id=tx.account_id,
        id=field_id,
    )
    if not gone:
        raise NotFound("custom field")
    tx.run(
        "INSERT INTO field_erasures (account_id, field_id, after_id, created_at)"
        " VALUES (:account_id, :field_id, 0, :now)",
        account_id=tx.account_id,
        field_id=field_id,
        now=tx.now,
    )
    tx.redefine()
    tx.wake()


def clean_values(rx: Rx, values: Mapping[str, object]) -> dict[str, str | None]:
    """Return values by field id as kept: unknown keys are dropped, all becomes text.

    A field may be named by its key or by the `ck_field_…` name of custom HTML forms.
    """
    if not values:
        return {}
    known: dict[str, CustomField] = {}
    for field in all_fields(rx):
        known[field.name] = known[field.key] = field
    clean: dict[str, str | None] = {}
    for key, value in values.items():
        if key in known:
            clean[str(known[key].id)] = _clean_value(known[key], value)
    return clean


def key_of(label: str) -> str:
    """Return the ASCII, lower-case, underscored key of a label: "Discount Code" is discount_code."""
    plain = unicodedata.normalize("NFKD", label.translate(_SPELT)).encode("ascii", "ignore").decode().lower()
    key = _NOT_KEY.sub("_", plain).strip("_")
    if not key:
        raise Invalid("Label", "must contain at least one letter or digit that can be written in ASCII")
    return key


def next_erasure(rx: Rx) -> tuple[int, int, int, int] | None:
    """Return (account id, erasure id, field id, last subscriber id done) of the oldest erasure."""
    row = rx.one("SELECT account_id, id, field_id, after_id FROM field_erasures ORDER BY id LIMIT 1")
    return (row[0], row[1], row[2], row[3]) if row else None


def move_erasure(tx: Tx, erasure_id: int, after_id: int | None) -> None:
    """Note how far an erasure has come; None ends it."""
    if after_id is None:
        tx.run(
            "DELETE FROM field_erasures WHERE account_id = :account_id AND id = :id",
            account_id=tx.account_id,
            id=erasure_id,
        )
        return
    tx.run(
        "UPDATE field_erasures SET after_id = :after_id WHERE account_id = :account_id AND id = :id",
        after_id=after_id,
        account_id=tx.account_id,
        id=erasure_id,
    )


def _load(rx: Rx) -> tuple[CustomField, ...]:
    rows = rx.all(
        "SELECT id, key, label FROM custom_fields WHERE account_id = :account_id ORDER BY id",
        account_id=rx.account_id,
    )
    return tuple(CustomField(*row) for row in rows)


def _insert(tx: Tx, label: str, key: str, given: int | None) -> int:
    names = {
        "account_id": tx.account_id,
        "key": key,
        "label": label,
        "label_key": _label_key(label),
        "now": tx.now,
    }
    columns = "account_id, key, label, label_key, created_at, updated_at"
    values = ":account_id, :key, :label, :label_key, :now, :now"
    if given:
        names["id"] = given
        columns, values = "id, " + columns, ":id, " + values
    row = tx.one(f"INSERT INTO custom_fields ({columns}) VALUES ({values}) RETURNING id", **names)  # noqa: S608
    assert row is not None  # noqa: S101 (RETURNING)
    return int(row[0])


def _clean_label(label: str) -> str:
    clean = _CONTROL.sub("", label).strip()
    if not clean:
        raise Invalid("Label", "can't be blank")
    if len(clean) > LABEL_MAX:
        raise Invalid("Label", f"is too long (maximum is {LABEL_MAX} characters)")
    return clean


def _label_key(label: str) -> str:
    return unicodedata.normalize("NFC", label).casefold()


def _clean_value(field: CustomField, value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float | Decimal):
        raise Invalid(field.label, "must be text")
    text = _CONTROL.sub("", value if isinstance(value, str) else str(value))
    if len(text) > VALUE_MAX:
        raise Invalid(field.label, f"is too long (maximum is {VALUE_MAX} characters)")
    return text
