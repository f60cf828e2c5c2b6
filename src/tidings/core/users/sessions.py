"""How users come in and out: one-time links and sessions. Both are kept as hashes."""

import msgspec

from tidings.core import users
from tidings.errors import NotFound
from tidings.store.tx import Rx, Tx
from tidings.tokens import digest, fresh

# A link printed by the command, and one that was mailed or is handed on as an invitation.
LINK_MS = {"command": 24 * 3_600_000, "mail": 20 * 60_000, "invitation": 7 * 24 * 3_600_000}
SESSION_MS = 30 * 24 * 3_600_000
# Browsers of one person; beyond it the oldest is ended.
SESSIONS_MAX = 50
AGENT_MAX = 200


class Signed(msgspec.Struct, frozen=True):
    """Who is signed in: the session, its user, the account it shows, and their role there."""

    id: int
    account_id: int
    user_id: int
    role: str
    email: str
    name: str


class Session(msgspec.Struct, frozen=True):
    """One session, as its user sees it."""

    id: int
    account_id: int
    agent: str
    address: str
    created_at: int
    expires_at: int


def link(tx: Tx, user_id: int | None = None, way: str = "command") -> str:
    """Make a one-time token that signs a user in; without a user the account's owner."""
    user_id = user_id if user_id is not None else users.owner_of(tx).id
    token = fresh()
    tx.run(
        "INSERT INTO sign_in_links (account_id, digest, user_id, way, created_at, expires_at)"
        " VALUES (:account_id, :digest, :user_id, :way, :now, :until)",
        account_id=tx.account_id,
        digest=digest(token),
        user_id=user_id,
        way=way,
        now=tx.now,
        until=tx.now + LINK_MS[way],
    )
    return token


def use_link(tx: Tx, token: str) -> tuple[int, int, str] | None:
    """Use a one-time token up; return its account, its user and its way. First one wins."""
    row = tx.one(
        "UPDATE sign_in_links SET used_at = :now WHERE digest = :digest AND used_at IS NULL"
        " AND expires_at > :now AND user_id > 0 RETURNING account_id, user_id, way",
        now=tx.now,
        digest=digest(token),
    )
    return (row[0], row[1], row[2]) if row else None


def begin(tx: Tx, user_id: int, *, agent: str = "", address: str = "") -> str:
    """Begin a session of a user in the account at hand; return its secret."""
    secret = fresh()
    tx.run(
        "INSERT INTO sessions (account_id, digest, user_id, agent, address, created_at, expires_at)"
        " VALUES (:account_id, :digest, :user_id, :agent, :address, :now, :until)",
        account_id=tx.account_id,
        digest=digest(secret),
        user_id=user_id,
        agent=agent[:AGENT_MAX],
        address=address,
        now=tx.now,
        until=tx.now + SESSION_MS,
    )
    tx.run(
        "DELETE FROM sessions WHERE user_id = :user_id AND (expires_at <= :now OR id <= COALESCE((SELECT id"
        " FROM sessions WHERE user_id = :user_id ORDER BY id DESC LIMIT 1 OFFSET :most), 0))",
        user_id=user_id,
        now=tx.now,
        most=SESSIONS_MAX,
    )
    return secret


def current(rx: Rx, secret: str) -> Signed | None:
    """Return who a living session belongs to, unless they lost their part in its account."""
    row = rx.one(
        "SELECT sessions.id, sessions.account_id, users.id, role, users.email, users.name FROM sessions"
        " JOIN users ON users.id = sessions.user_id"
        " JOIN memberships ON memberships.user_id = users.id AND memberships.account_id = sessions.account_id"
        " WHERE sessions.digest = :digest AND sessions.expires_at > :now",
        digest=digest(secret),
        now=rx.now,
    )
    return Signed(*row) if row else None


def switch(tx: Tx, session_id: int, user_id: int, account_id: int) -> None:
    """Have a session show another account that its user has a part in."""
    if account_id not in users.account_ids(tx, user_id):
        raise NotFound("account")
    tx.run(
        "UPDATE sessions SET account_id = :account_id WHERE id = :id AND user_id = :user_id",
        account_id=account_id,
        id=session_id,
        user_id=user_id,
    )


def of_user(rx: Rx, user_id: int) -> list[Session]:
    """Return a user's living sessions, newest first."""
    rows = rx.all(
        "SELECT id, account_id, agent, address, created_at, expires_at FROM sessions"
        " WHERE user_id = :user_id AND expires_at > :now ORDER BY id DESC LIMIT :most",
        user_id=user_id,
        now=rx.now,
        most=SESSIONS_MAX,
    )
    return [Session(*row) for row in rows]


def sign_out(tx: Tx, secret: str) -> None:
    """End a session."""
    tx.run("DELETE FROM sessions WHERE digest = :digest", digest=digest(secret))


def end(tx: Tx, user_id: int, session_id: int) -> None:
    """End one session of a user."""
    if not tx.run(
        "DELETE FROM sessions WHERE user_id = :user_id AND id = :id", user_id=user_id, id=session_id
    ):
        raise NotFound("session")


def end_others(tx: Tx, user_id: int, session_id: int) -> int:
    """End all sessions of a user but one; return how many."""
    return tx.run(
        "DELETE FROM sessions WHERE user_id = :user_id AND id <> :id", user_id=user_id, id=session_id
    )
