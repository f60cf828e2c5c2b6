"""Users: who signs in to the dashboard, and what they may do in which account.

Owns `users`, `memberships`, `sign_in_links` and `sessions`. A user belongs to the installation and has
a role in each account; an account always has an owner. `sessions` says how they come in, `proofs`
what they prove themselves with.
"""

import msgspec

from tidings.core import accounts
from tidings.errors import Conflict, Invalid, NotFound
from tidings.mail import address
from tidings.store.tx import Rx, Tx

ROLES = ("owner", "editor", "viewer")
# People who work on one newsletter; more is a mistake or an attack.
MEMBERS_MAX = 100
NAME_MAX = 100


class User(msgspec.Struct, frozen=True):
    """One user, as pages show them; `password_at` and `totp_at` say since when, None for none."""

    id: int
    email: str
    name: str
    password_at: int | None
    totp_at: int | None
    created_at: int


class Member(msgspec.Struct, frozen=True):
    """A user in an account."""

    user: User
    role: str


_USER = "users.id, users.email, users.name, users.password_at, users.totp_at, users.created_at"


def find(rx: Rx, user_id: int) -> User:
    """Return a user, or raise NotFound."""
    row = rx.one(f"SELECT {_USER} FROM users WHERE account_id = 0 AND id = :id", id=user_id)  # noqa: S608
    if row is None:
        raise NotFound("user")
    return User(*row)


def by_email(rx: Rx, email: str) -> User | None:
    """Return the user of an address, however it is written."""
    try:
        key = address.parse(email).key
    except ValueError:
        return None
    row = rx.one(f"SELECT {_USER} FROM users WHERE email_key = :key", key=key)  # noqa: S608 (our columns)
    return User(*row) if row else None


def describe(tx: Tx, user_id: int, *, name: str, email: str) -> None:
    """Change a user's name and address."""
    given = _address(email)
    taken = tx.one("SELECT id FROM users WHERE email_key = :key AND id <> :id", key=given.key, id=user_id)
    if taken:
        raise Invalid("email", "belongs to another user")
    tx.run(
        "UPDATE users SET name = :name, email = :email, email_key = :key WHERE account_id = 0 AND id = :id",
        name=_name(name),
        email=given.email,
        key=given.key,
        id=user_id,
    )


def members(rx: Rx) -> list[Member]:
    """Return who works on the account at hand, owners first."""
    rows = rx.all(
        f"SELECT {_USER}, role FROM memberships JOIN users ON users.id = memberships.user_id"  # noqa: S608
        " WHERE memberships.account_id = :account_id"
        " ORDER BY CASE role WHEN 'owner' THEN 0 WHEN 'editor' THEN 1 ELSE 2 END, users.email LIMIT 100",
        account_id=rx.account_id,
    )
    return [Member(User(*row[:-1]), row[-1]) for row in rows]


def account_ids(rx: Rx, user_id: int) -> list[int]:
    """Return the accounts that a user may see, oldest first."""
    rows = rx.all(
        "SELECT account_id FROM memberships WHERE user_id = :user_id ORDER BY account_id LIMIT 1000",
        user_id=user_id,
    )
    return [row[0] for row in rows]


def owns_everything(rx: Rx, user_id: int) -> bool:
    """Say whether a user owns every account of the installation."""
    rows = rx.all(
        "SELECT account_id FROM memberships WHERE user_id = :user_id AND role = 'owner' LIMIT 1000",
        user_id=user_id,
    )
    return {one.id for one in accounts.all_accounts(rx)} <= {row[0] for row in rows}


def admit(tx: Tx, email: str, role: str, *, name: str = "") -> User:
    """Give somebody a role in the account; who is no user yet becomes one, without a password."""
    if role not in ROLES:
        raise Invalid("role", f"must be one of: {', '.join(ROLES)}")
    if len(members(tx)) >= MEMBERS_MAX:
        raise Conflict(f"an account has at most {MEMBERS_MAX} users")
    user = _meet(tx, _address(email), name)
    made = tx.one(
        "INSERT INTO memberships (account_id, user_id, role, created_at)"
        " VALUES (:account_id, :user_id, :role, :now) ON CONFLICT (account_id, user_id) DO NOTHING"
        " RETURNING id",
        account_id=tx.account_id,
        user_id=user.id,
        role=role,
        now=tx.now,
    )
    if made is None:
        raise Invalid("email", "is already a user of this account")
    return user


def set_role(tx: Tx, user_id: int, role: str) -> None:
    """Change what a user may do in the account; its last owner stays one."""
    if role not in ROLES:
        raise Invalid("role", f"must be one of: {', '.join(ROLES)}")
    if role != "owner":
        _keep_an_owner(tx, user_id)
    changed = tx.run(
        "UPDATE memberships SET role = :role WHERE account_id = :account_id AND user_id = :user_id",
        role=role,
        account_id=tx.account_id,
        user_id=user_id,
    )
    if not changed:
        raise NotFound("user")


def dismiss(tx: Tx, user_id: int) -> None:
    """End a user's part in the account; their sessions in it end with it. The last owner stays."""
    _keep_an_owner(tx, user_id)
    gone = tx.run(
        "DELETE FROM memberships WHERE account_id = :account_id AND user_id = :user_id",
        account_id=tx.account_id,
        user_id=user_id,
    )
    if not gone:
        raise NotFound("user")
    for table in (_END_SESSIONS, _END_LINKS):
        tx.run(table, account_id=tx.account_id, user_id=user_id)


_END_SESSIONS = "DELETE FROM sessions WHERE account_id = :account_id AND user_id = :user_id"
_END_LINKS = "DELETE FROM sign_in_links WHERE account_id = :account_id AND user_id = :user_id"


def owner_of(tx: Tx) -> User:
    """Return the first owner of the account; one that has none yet gets one of its own address."""
    row = tx.one(
        f"SELECT {_USER} FROM memberships JOIN users ON users.id = memberships.user_id"  # noqa: S608
        " WHERE memberships.account_id = :account_id AND role = 'owner' ORDER BY memberships.id LIMIT 1",
        account_id=tx.account_id,
    )
    if row is not None:
        return User(*row)
    user = _meet(tx, _address(accounts.get(tx).primary_email), "")
    tx.run(
        "INSERT INTO memberships (account_id, user_id, role, created_at)"
        " VALUES (:account_id, :user_id, 'owner', :now)"
        " ON CONFLICT (account_id, user_id) DO UPDATE SET role = 'owner'",
        account_id=tx.account_id,
        user_id=user.id,
        now=tx.now,
    )
    return user


def _keep_an_owner(tx: Tx, user_id: int) -> None:
    # Locked, so that two owners cannot end each other at the same moment.
    owners = tx.all(
        "SELECT user_id FROM memberships WHERE account_id = :account_id AND role = 'owner' ORDER BY id"
        " LIMIT 1000 {for_update}",
        account_id=tx.account_id,
    )
    if [row[0] for row in owners] == [user_id]:
        raise Conflict("the account needs an owner: make somebody else one first")


def _meet(tx: Tx, given: address.Address, name: str) -> User:
    tx.run(
        "INSERT INTO users (account_id, email, email_key, name, created_at)"
        " VALUES (0, :email, :key, :name, :now) ON CONFLICT (email_key) DO NOTHING",
        email=given.email,
        key=given.key,
        name=_name(name),
        now=tx.now,
    )
    row = tx.one(f"SELECT {_USER} FROM users WHERE email_key = :key", key=given.key)  # noqa: S608
    assert row is not None  # noqa: S101 (written or found above)
    return User(*row)


def _address(email: str) -> address.Address:
    try:
        return address.parse(email)
    except ValueError as problem:
        raise Invalid("email", f"is not an email address: {problem}") from problem


def _name(name: str) -> str:
    cleaned = " ".join(name.split())
    if len(cleaned) > NAME_MAX:
        raise Invalid("name", f"must have at most {NAME_MAX} characters")
    return cleaned
