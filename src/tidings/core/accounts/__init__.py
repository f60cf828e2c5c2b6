"""Accounts, who may act for them, and the integrations of the installation.

Owns `accounts`, `credentials` and `integrations`. A secret is kept as its SHA-256 and shown once; the
public key is kept as it is.
"""

import msgspec

from tidings.errors import Invalid, NotFound
from tidings.mail import address, phrases
from tidings.store.tx import Rx, Tx
from tidings.tokens import digest, fresh

# The whole installation, where a table asks for an account.
INSTALLATION = 0
SECRET_KEPT_MS = 24 * 3_600_000
KEY_MIN = 8
POSTAL_MAX = 500


class Account(msgspec.Struct, frozen=True):
    """One account."""

    id: int
    name: str
    primary_email: str
    plan: str
    api_key: str
    postal_address: str | None = None


class Credential(msgspec.Struct, frozen=True):
    """What a presented key opens; `kind` is key or secret."""

    account_id: int
    kind: str
    expires_at: int | None


class Integration(msgspec.Struct, frozen=True):
    """One integration of the installation; `rate_limit` None is the general one."""

    id: int
    name: str
    rate_limit: int | None
    created_at: int
    revoked_at: int | None


class Keys(msgspec.Struct, frozen=True):
    """A new account's id and its keys: the only time that the secret is seen."""

    account_id: int
    api_key: str
    api_secret: str


def create(
    tx: Tx,
    name: str,
    email: str,
    *,
    plan: str = "creator",
    api_key: str | None = None,
    api_secret: str | None = None,
    demo: bool = False,
) -> Keys:
    """Make an account and its two keys, given or fresh."""
    try:
        sender = address.parse(email).email
    except ValueError as problem:
        raise Invalid("email", f"is not an email address: {problem}") from problem
    row = tx.one("SELECT COALESCE(MAX(account_id), 0) + 1 FROM accounts")
    account_id = int(row[0]) if row else 1
    tx.run(
        "INSERT INTO accounts (account_id, name, primary_email, plan, demo_at, created_at)"
        " VALUES (:account_id, :name, :email, :plan, :demo_at, :now)",
        account_id=account_id,
        name=name.strip(),
        email=sender,
        plan=plan,
        demo_at=tx.now if demo else None,
        now=tx.now,
    )
    keys = Keys(account_id, api_key or fresh(), api_secret or fresh(32))
    own = tx.for_account(account_id)
    add_credential(own, "key", keys.api_key)
    add_credential(own, "secret", keys.api_secret)
    return keys


def describe(
    tx: Tx,
    *,
    name: str | None = None,
    primary_email: str | None = None,
    plan: str | None = None,
    postal_address: str | None = None,
) -> None:
    """Change an account's name, sending address, plan or postal address; None leaves it."""
    if primary_email is not None:
        try:
            primary_email = address.parse(primary_email).email
        except ValueError as problem:
            raise Invalid("primary_email", f"is not an email address: {problem}") from problem
    tx.run(
        "UPDATE accounts SET name = COALESCE(:name, name), primary_email = COALESCE(:email, primary_email),"
        " plan = COALESCE(:plan, plan), postal_address = COALESCE(:postal_address, postal_address)"
        " WHERE account_id = :account_id",
        name=name,
        email=primary_email,
        plan=plan,
        postal_address=postal_address.strip() if postal_address is not None else None,
        account_id=tx.account_id,
    )
    tx.redefine()


def add_credential(tx: Tx, kind: str, value: str) -> None:
    """Let a key or secret act for the account."""
    if len(value) < KEY_MIN or not value.isprintable() or value != value.strip():
        raise Invalid(
            f"api_{kind}", f"must have at least {KEY_MIN} printable characters and no space around it"
        )
    row = tx.one(
        "INSERT INTO credentials (account_id, kind, digest, shown, created_at)"
        " VALUES (:account_id, :kind, :digest, :shown, :now) ON CONFLICT (digest) DO NOTHING RETURNING id",
        account_id=tx.account_id,
        kind=kind,
        digest=digest(value),
        shown=value if kind == "key" else None,
        now=tx.now,
    )
    if row is None:
        raise Invalid(f"api_{kind}", "is already in use")
    tx.for_account(INSTALLATION).redefine()
    tx.redefine()


def rotate_secret(tx: Tx) -> str:
    """Give the account a fresh secret; the ones before work for another 24 hours."""
    tx.run(
        "UPDATE credentials SET expires_at = :until WHERE account_id = :account_id AND kind = 'secret'"
        " AND expires_at IS NULL",
        until=tx.now + SECRET_KEPT_MS,
        account_id=tx.account_id,
    )
    secret = fresh(32)
    add_credential(tx, "secret", secret)
    return secret


def opened_by(rx: Rx, value: str) -> Credential | None:
    """Return what a presented key or secret opens, if anything."""
    found = rx.for_account(INSTALLATION).remember(credential_by_digest, digest(value))
    if found is None or (found.expires_at is not None and found.expires_at <= rx.now):
        return None
    return found


def get(rx: Rx) -> Account:
    """Return the account at hand, or raise NotFound."""
    return rx.remember(_load)


def all_accounts(rx: Rx) -> list[Account]:
    """Return every account, oldest first."""
    ids = rx.all("SELECT account_id FROM accounts ORDER BY account_id")
    return [_load(rx.for_account(row[0])) for row in ids]


def create_integration(tx: Tx, name: str, *, key: str | None = None, rate_limit: int | None = None) -> str:
    """Issue an integration key for the whole installation; return it, seen only now."""
    key = key or fresh()
    if len(key) < KEY_MIN or not name.strip():
        raise Invalid("key", f"must have at least {KEY_MIN} characters, and the name must not be blank")
    row = tx.one(
        "INSERT INTO integrations (account_id, name, digest, rate_limit, created_at)"
        " VALUES (0, :name, :digest, :rate_limit, :now) ON CONFLICT (digest) DO NOTHING RETURNING id",
        name=name.strip(),
        digest=digest(key),
        rate_limit=rate_limit,
        now=tx.now,
    )
    if row is None:
        raise Invalid("key", "is already in use")
    tx.for_account(INSTALLATION).redefine()
    return key


def revoke_integration(tx: Tx, integration_id: int) -> None:
    """Let an integration key open nothing any more."""
    revoked = tx.run(
        "UPDATE integrations SET revoked_at = COALESCE(revoked_at, :now) WHERE account_id = 0 AND id = :id",
        now=tx.now,
        id=integration_id,
    )
    if not revoked:
        raise NotFound("integration")
    tx.for_account(INSTALLATION).redefine()


def integration(rx: Rx, key: str) -> Integration | None:
    """Return the integration that a key belongs to, unless it is revoked."""
    return rx.for_account(INSTALLATION).remember(integration_by_digest, digest(key))


def all_integrations(rx: Rx) -> list[Integration]:
    """Return every integration, oldest first."""
    rows = rx.all(
        "SELECT id, name, rate_limit, created_at, revoked_at FROM integrations WHERE account_id = 0"
        " ORDER BY id"
    )
    return [Integration(*row) for row in rows]


def credential_by_digest(rx: Rx, hashed: str) -> Credential | None:
    """Return a credential by the hash of its value, expired or not."""
    row = rx.one("SELECT account_id, kind, expires_at FROM credentials WHERE digest = :digest", digest=hashed)
    return Credential(*row) if row else None


def integration_by_digest(rx: Rx, hashed: str) -> Integration | None:
    """Return a living integration by the hash of its key."""
    row = rx.one(
        "SELECT id, name, rate_limit, created_at, revoked_at FROM integrations WHERE digest = :digest"
        " AND revoked_at IS NULL",
        digest=hashed,
    )
    return Integration(*row) if row else None


def _load(rx: Rx) -> Account:
    row = rx.one(
        "SELECT account_id, name, primary_email, plan, (SELECT shown FROM credentials"
        " WHERE credentials.account_id = accounts.account_id AND kind = 'key' ORDER BY id DESC LIMIT 1),"
        " postal_address FROM accounts WHERE account_id = :account_id",
        account_id=rx.account_id,
    )
    if row is None:
        raise NotFound("account")
    return Account(*row)


def time_zone(rx: Rx) -> str:
    """Return the name of the account's time zone, in the tz database's words."""
    return rx.remember(_load_time_zone)


def set_time_zone(tx: Tx, name: str) -> None:
    """Give the account a time zone, whose name the caller has checked."""
    tx.run(
        "UPDATE accounts SET time_zone = :name WHERE account_id = :account_id",
        name=name,
        account_id=tx.account_id,
    )
    tx.redefine()


def _load_time_zone(rx: Rx) -> str:
    row = rx.one("SELECT time_zone FROM accounts WHERE account_id = :account_id", account_id=rx.account_id)
    return str(row[0]) if row else "UTC"


def language(rx: Rx) -> str:
    """Return the language of our own words to the account's readers (one of `phrases.LANGUAGES`)."""
    return rx.remember(_load_language)


def set_language(tx: Tx, name: str) -> None:
    """Choose the language of our own words to the account's readers."""
    if name not in phrases.LANGUAGES:
        raise Invalid("language", f"must be one of: {', '.join(phrases.LANGUAGES)}")
    tx.run(
        "UPDATE accounts SET language = :name WHERE account_id = :account_id",
        name=name,
        account_id=tx.account_id,
    )
    tx.redefine()


def _load_language(rx: Rx) -> str:
    row = rx.one("SELECT language FROM accounts WHERE account_id = :account_id", account_id=rx.account_id)
    return str(row[0]) if row else "en"


def ambiguity(rx: Rx) -> str:
    """Return what is done when nobody knows whether a bulk mail arrived: `retry-once` or `hold`."""
    return rx.remember(_load_ambiguity)


def set_ambiguity(tx: Tx, policy: str) -> None:
    """Choose what is done when nobody knows whether a bulk mail arrived."""
    if policy not in ("retry-once", "hold"):
        raise Invalid("ambiguity", "must be retry-once or hold")
    tx.run(
        "UPDATE accounts SET ambiguity = :policy WHERE account_id = :account_id",
        policy=policy,
        account_id=tx.account_id,
    )
    tx.redefine()


def _load_ambiguity(rx: Rx) -> str:
    row = rx.one("SELECT ambiguity FROM accounts WHERE account_id = :account_id", account_id=rx.account_id)
    return str(row[0]) if row else "retry-once"


def tracking(rx: Rx) -> tuple[bool, bool]:
    """Return whether the account keeps who opened, and who clicked."""
    return rx.remember(_tracking)


def set_tracking(tx: Tx, *, opens: bool, clicks: bool) -> None:
    """Switch the keeping of individual opens and clicks; what was kept stays."""
    tx.run(
        "UPDATE accounts SET track_opens = :opens, track_clicks = :clicks WHERE account_id = :account_id",
        opens=int(opens),
        clicks=int(clicks),
        account_id=tx.account_id,
    )
    tx.redefine()


def _tracking(rx: Rx) -> tuple[bool, bool]:
    row = rx.one(
        "SELECT track_opens, track_clicks FROM accounts WHERE account_id = :account_id",
        account_id=rx.account_id,
    )
    return (bool(row[0]), bool(row[1])) if row else (False, False)
