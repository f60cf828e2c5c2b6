"""Forms: where people come in, embedded or on a page of their own. Owns `forms`."""

import hashlib

import msgspec

from tidings.errors import Conflict, Invalid, NotFound
from tidings.store.tx import Rx, Tx
from tidings.tokens import fresh

TYPES = ("embed", "hosted")
FORMATS = ("inline", "modal", "slide in", "sticky bar")
BUTTON = "Subscribe"
SUCCESS = "Success! Now check your email to confirm your subscription."

_SETTINGS = (
    "name, type, format, title, description, sign_up_button_text, success_message, redirect_url,"
    " confirmation, confirmation_subject, confirmation_html, archived_at"
)
_COLUMNS = f"id, uid, created_at, version, {_SETTINGS}"


class FormSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What an owner decides about a form; `confirmation` is double or none."""

    name: str
    type: str = "embed"
    format: str | None = None
    title: str = ""
    description: str | None = None
    sign_up_button_text: str = BUTTON
    success_message: str = SUCCESS
    redirect_url: str | None = None
    confirmation: str = "double"
    confirmation_subject: str | None = None
    confirmation_html: str | None = None
    archived_at: int | None = None


class Form(FormSettings, frozen=True, kw_only=True):
    """One form; `uid` is its name in public addresses, `version` rises with each change."""

    id: int
    uid: str
    created_at: int
    version: int = 1

    @property
    def text_version(self) -> str:
        """Return a digest of the words that a person sees: the proof of what was agreed to."""
        words = "\0".join((self.title, self.description or "", self.sign_up_button_text))
        return hashlib.sha256(words.encode()).hexdigest()[:16]


def all_forms(rx: Rx) -> dict[int, Form]:
    """Return the account's forms by id, oldest first, archived ones too."""
    return rx.remember(_load)


def find(rx: Rx, form_id: int) -> Form:
    """Return one form, or raise NotFound."""
    form = all_forms(rx).get(form_id)
    if form is None:
        raise NotFound("form")
    return form


def account_of(rx: Rx, uid: str) -> tuple[int, int]:
    """Return the account and id of the form with this public name, or raise NotFound."""
    # NUL is the one character that PostgreSQL refuses even to compare with.
    row = None if "\0" in uid else rx.one("SELECT account_id, id FROM forms WHERE uid = :uid", uid=uid)
    if row is None:
        raise NotFound("form")
    return row[0], row[1]


def account_of_id(rx: Rx, form_id: int) -> int:
    """Return the account of the form with this id, for addresses that name no account, or raise NotFound."""
    row = rx.one("SELECT account_id FROM forms WHERE id = :id", id=form_id)
    if row is None:
        raise NotFound("form")
    return int(row[0])


def create(tx: Tx, settings: FormSettings, *, given_id: int | None = None) -> int:
    """Make a form; return its id."""
    values = _checked(settings)
    columns = f"account_id, uid, created_at, updated_at, {_SETTINGS}"
    names = {
        "account_id": tx.account_id,
        "uid": fresh(8),
        "created_at": tx.now,
        "updated_at": tx.now,
        **values,
    }
    if given_id:
        names["id"] = given_id
        columns = "id, " + columns
    places = ", ".join(":" + one.strip() for one in columns.split(","))
    row = tx.one(f"INSERT INTO forms ({columns}) VALUES ({places}) RETURNING id", **names)  # noqa: S608
    assert row is not None  # noqa: S101 (RETURNING)
    tx.redefine()
    return int(row[0])


def update(tx: Tx, form_id: int, settings: FormSettings, *, version: int | None = None) -> None:
    """Change everything that an owner decides about a form.

    With `version` only the form as it was read with that version: raises Conflict when somebody has
    changed it since.
    """
    sets = ", ".join(f"{one.strip()} = :{one.strip()}" for one in _SETTINGS.split(","))
    changed = tx.run(
        f"UPDATE forms SET {sets}, updated_at = :now, version = version + 1"  # noqa: S608 (our columns)
        " WHERE account_id = :account_id AND id = :id"
        " AND version = COALESCE(CAST(:version AS BIGINT), version)",
        now=tx.now,
        account_id=tx.account_id,
        id=form_id,
        version=version,
        **_checked(settings),
    )
    if not changed:
        _must_be_there(tx, form_id)
        raise Conflict("somebody else has changed this form since you opened it")
    tx.redefine()


def archive(tx: Tx, form_id: int) -> None:
    """Close a form: its page and its embeds take no sign-ups any more; who came in by it stays."""
    _set_archived(tx, form_id, tx.now)


def restore(tx: Tx, form_id: int) -> None:
    """Open an archived form again."""
    _set_archived(tx, form_id, None)


def _set_archived(tx: Tx, form_id: int, at: int | None) -> None:
    changed = tx.run(
        "UPDATE forms SET updated_at = :now, version = version + 1,"
        " archived_at = CASE WHEN CAST(:at AS BIGINT) IS NULL THEN NULL"
        " ELSE COALESCE(archived_at, CAST(:at AS BIGINT)) END WHERE account_id = :account_id AND id = :id",
        now=tx.now,
        at=at,
        account_id=tx.account_id,
        id=form_id,
    )
    if not changed:
        raise NotFound("form")
    tx.redefine()


def _must_be_there(rx: Rx, form_id: int) -> None:
    if not rx.one(
        "SELECT 1 FROM forms WHERE account_id = :account_id AND id = :id",
        account_id=rx.account_id,
        id=form_id,
    ):
        raise NotFound("form")


def _checked(settings: FormSettings) -> dict[str, object]:
    if not settings.name.strip():
        raise Invalid("Name", "can't be blank")
    if settings.type not in TYPES:
        raise Invalid("type", f"must be one of: {', '.join(TYPES)}")
    if settings.format is not None and settings.format not in FORMATS:
        raise Invalid("format", f"must be one of: {', '.join(FORMATS)}")
    values = {one.strip(): getattr(settings, one.strip()) for one in _SETTINGS.split(",")}
    return {**values, "title": settings.title or settings.name}


def _load(rx: Rx) -> dict[int, Form]:
    rows = rx.all(
        f"SELECT {_COLUMNS} FROM forms WHERE account_id = :account_id ORDER BY id",  # noqa: S608
        account_id=rx.account_id,
    )
    names = [one.strip() for one in _COLUMNS.split(",")]
    return {row[0]: Form(**dict(zip(names, row, strict=True))) for row in rows}
