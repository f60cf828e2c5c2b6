"""What users prove themselves with: a password, and a second factor of one-time codes (TOTP, RFC 6238).

Passwords are hashed outside of transactions: argon2id takes some 50 ms and 64 MiB by its rules.
"""

import msgspec

from tidings.errors import Conflict, Invalid
from tidings.store.tx import Rx, Tx
from tidings.tokens import digest, fresh, seal, unseal

# NIST SP 800-63B-4: at least 8; ours guard other people's addresses.
PASSWORD_MIN = 10
# Argon2 takes any length; 200 characters are more than any manager makes.
PASSWORD_MAX = 200
RECOVERY_CODES = 8
_PURPOSE = "totp"
# Of the dashboard's own name and what everybody tries first; more would need a list of millions.
_COMMON = ("password", "passwort", "1234567890", "0123456789", "qwertyuiop", "tidings", "newsletter")


class Proof(msgspec.Struct, frozen=True):
    """What is kept to check a user: the password's hash, the second factor's secret where it is on."""

    user_id: int
    password: str | None
    totp: str | None
    totp_step: int


def of_user(rx: Rx, user_id: int) -> Proof | None:
    """Return what a user is checked against; None where there is no such user."""
    row = rx.one(
        "SELECT id, password, totp, totp_at, totp_step FROM users WHERE account_id = 0 AND id = :id",
        id=user_id,
    )
    if row is None:
        return None
    secret = unseal(rx.pepper, _PURPOSE, row[2]) if row[2] is not None and row[3] is not None else None
    return Proof(row[0], row[1], secret, row[4])


def check_new_password(password: str, email: str) -> None:
    """Raise Invalid for a password that is too short, too long, or guessed by everybody."""
    if len(password) < PASSWORD_MIN:
        raise Invalid("password", f"must have at least {PASSWORD_MIN} characters")
    if len(password) > PASSWORD_MAX:
        raise Invalid("password", f"must have at most {PASSWORD_MAX} characters")
    plain = password.lower()
    if len(set(plain)) < 4 or any(plain.strip("0123456789!.") == one for one in (*_COMMON, "")):
        raise Invalid("password", "is among the first that anybody would try")
    if plain in (email.lower(), email.lower().partition("@")[0]):
        raise Invalid("password", "must not be your address")


def set_password(tx: Tx, user_id: int, hashed: str) -> None:
    """Keep the hash of a user's new password."""
    tx.run(
        "UPDATE users SET password = :hashed, password_at = :now WHERE account_id = 0 AND id = :id",
        hashed=hashed,
        now=tx.now,
        id=user_id,
    )


def offer_totp(tx: Tx, user_id: int, secret: str) -> None:
    """Keep a second factor's secret that its user has not yet shown to have."""
    offered = tx.run(
        "UPDATE users SET totp = :sealed WHERE account_id = 0 AND id = :id AND totp_at IS NULL",
        sealed=seal(tx.pepper, _PURPOSE, secret),
        id=user_id,
    )
    if not offered:
        raise Conflict("the second factor is on already; switch it off first")


def offered_totp(rx: Rx, user_id: int) -> str | None:
    """Return the secret that a user was offered and has not yet confirmed."""
    row = rx.one("SELECT totp FROM users WHERE account_id = 0 AND id = :id AND totp_at IS NULL", id=user_id)
    return unseal(rx.pepper, _PURPOSE, row[0]) if row and row[0] is not None else None


def begin_totp(tx: Tx, user_id: int, step: int) -> list[str]:
    """Switch the offered second factor on, proved by a code of this step; return fresh recovery codes.

    They are seen only now: each signs in once without the device.
    """
    codes = [fresh(9) for _ in range(RECOVERY_CODES)]
    begun = tx.run(
        "UPDATE users SET totp_at = :now, totp_step = :step, recovery = :recovery WHERE account_id = 0"
        " AND id = :id AND totp IS NOT NULL AND totp_at IS NULL",
        now=tx.now,
        step=step,
        recovery=",".join(digest(one) for one in codes),
        id=user_id,
    )
    if not begun:
        raise Conflict("there is no second factor to switch on; begin again")
    return codes


def end_totp(tx: Tx, user_id: int) -> None:
    """Switch a user's second factor off."""
    tx.run(
        "UPDATE users SET totp = NULL, totp_at = NULL, recovery = '' WHERE account_id = 0 AND id = :id",
        id=user_id,
    )


def spend_step(tx: Tx, user_id: int, step: int) -> bool:
    """Note that a code of this step was used; False where it, or a later one, was used before."""
    return bool(
        tx.run(
            "UPDATE users SET totp_step = :step WHERE account_id = 0 AND id = :id AND totp_step < :step",
            step=step,
            id=user_id,
        )
    )


def spend_recovery(tx: Tx, user_id: int, code: str) -> bool:
    """Use a recovery code up; False where it is none."""
    row = tx.one("SELECT recovery FROM users WHERE account_id = 0 AND id = :id {for_update}", id=user_id)
    left = row[0].split(",") if row else []
    hashed = digest(code.strip())
    if hashed not in left:
        return False
    left.remove(hashed)
    tx.run(
        "UPDATE users SET recovery = :recovery WHERE account_id = 0 AND id = :id",
        recovery=",".join(left),
        id=user_id,
    )
    return True
