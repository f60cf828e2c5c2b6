"""Passwords and one-time codes, outside of the database: argon2id (RFC 9106) and TOTP (RFC 6238).

A check takes some 50 ms and 64 MiB, so two at a time run in threads; who waits longer is told to come back.
"""

import asyncio
import hmac
import time
from collections.abc import Callable
from functools import cache
from typing import Final, TypeVar

import pyotp
import segno
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from tidings.errors import Unavailable

T = TypeVar("T")

AT_ONCE: Final = 2
WAITING_MAX: Final = 20
STEP_S: Final = 30
ISSUER: Final = "Tidings"

_hasher: Final = PasswordHasher()
_turns: Final = asyncio.Semaphore(AT_ONCE)
_waiting: list[None] = []


async def hashed(password: str) -> str:
    """Return what is kept of a password."""
    return await _in_turn(lambda: _hasher.hash(password))


async def fits(kept: str | None, password: str) -> bool:
    """Say whether a password is the one that was kept; takes the same time where none is."""
    return await _in_turn(lambda: _fits(kept, password))


@cache
def _nobody() -> str:
    """Return what is checked where there is no such user or no password.

    Made with the first check of all, whoever it is for: 50 ms and 64 MiB are too much for every start.
    """
    return _hasher.hash("nobody has this password")


def _fits(kept: str | None, password: str) -> bool:
    nobody = _nobody()
    try:
        _hasher.verify(kept or nobody, password)
    except (VerificationError, InvalidHashError):
        return False
    return kept is not None


async def _in_turn(work: Callable[[], T]) -> T:
    if len(_waiting) >= WAITING_MAX:
        raise Unavailable("too many sign-ins at once; try again shortly")
    _waiting.append(None)
    try:
        async with _turns:
            return await asyncio.get_running_loop().run_in_executor(None, work)
    finally:
        _waiting.pop()


def new_secret() -> str:
    """Return a fresh shared secret for an authenticator, in base32 (160 bits)."""
    return pyotp.random_base32()


def step_of(secret: str, code: str, *, now_ms: int | None = None) -> int | None:
    """Return the step that a code belongs to: this one, or the one before or after; None for a wrong code."""
    digits = "".join(code.split())
    if not digits.isascii() or not digits.isdigit() or len(digits) != 6:
        return None
    now_s = now_ms // 1_000 if now_ms is not None else int(time.time())
    totp = pyotp.TOTP(secret)
    for step in (now_s // STEP_S, now_s // STEP_S - 1, now_s // STEP_S + 1):
        if hmac.compare_digest(totp.at(step * STEP_S), digits):
            return step
    return None


def address_of(secret: str, email: str) -> str:
    """Return the otpauth address that an authenticator reads."""
    return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=ISSUER)


def drawn(address: str) -> str:
    """Return an address as a QR code: a picture within an address (`data:`)."""
    return segno.make(address, error="m").svg_data_uri(scale=4, border=2, dark="#000", light="#fff")
