"""Accounts, their keys and integrations: shown once, good for so long, and no longer."""

import asyncio
from collections.abc import Callable

import pytest

from tests.core.cast import HOUR, Cast, Clock, Owner, rows
from tidings.core import accounts
from tidings.core.accounts import INSTALLATION, SECRET_KEPT_MS, Credential
from tidings.errors import Invalid, NotFound
from tidings.store.db import Database
from tidings.store.definitions import STALE_MS


def opened(db: Database, value: str) -> Credential | None:
    return db.read_now(INSTALLATION, accounts.opened_by, value)


def test_the_key_and_the_secret_open_their_account(db: Database, cast: Cast) -> None:
    for owner in (cast.ada, cast.eve):
        assert opened(db, owner.api_key) == Credential(owner.id, "key", None)
        assert opened(db, owner.api_secret) == Credential(owner.id, "secret", None)
    for wrong in ("", "\0", "x" * 100_000, cast.ada.api_key + "x", "\ud800"):
        assert opened(db, wrong) is None


def test_a_secret_is_kept_nowhere_in_clear_and_the_key_is(db: Database, ada: Owner) -> None:
    kept = str(rows(db, "SELECT * FROM credentials"))
    assert ada.api_secret not in kept
    assert ada.api_key in kept
    account = db.read_now(ada.id, accounts.get)
    assert (account.name, account.primary_email, account.api_key) == (
        "Ada's newsletter",
        "ada@example.com",
        ada.api_key,
    )


def test_keys_may_be_given_and_must_be_free_long_and_printable(db: Database, ada: Owner) -> None:
    given = db.write_now(
        INSTALLATION, accounts.create, "Moved", "m@example.com", api_key="key12345", api_secret="secret12"
    )
    assert opened(db, "key12345") == Credential(given.account_id, "key", None)
    for taken_or_odd in (
        ada.api_key,
        ada.api_secret,
        "key12345",
        "short",
        " padded12 ",
        "with\nbreak",
        "x\0xxxxxxx",
    ):
        with pytest.raises(Invalid):
            db.write_now(INSTALLATION, accounts.create, "Other", "o@example.com", api_key=taken_or_odd)
    assert len(db.read_now(INSTALLATION, accounts.all_accounts)) == 3


def test_an_account_needs_a_sending_address(db: Database, ada: Owner) -> None:
    for email in ("", "nobody", "a@b"):
        with pytest.raises(Invalid):
            db.write_now(INSTALLATION, accounts.create, "X", email)
        with pytest.raises(Invalid):
            db.write_now(ada.id, accounts.describe, primary_email=email)
    db.write_now(ada.id, accounts.describe, name="New name")
    assert db.read_now(ada.id, accounts.get).name == "New name"
    assert db.read_now(ada.id, accounts.get).primary_email == "ada@example.com"


def test_accounts_made_at_once_get_an_id_each(db: Database) -> None:
    async def check() -> None:
        made = await asyncio.gather(
            *(db.write(INSTALLATION, accounts.create, f"A{n}", f"a{n}@example.com") for n in range(20))
        )
        assert sorted(one.account_id for one in made) == list(range(1, 21))

    asyncio.run(check())


def test_the_old_secret_works_for_another_24_hours(db: Database, ada: Owner, clock: Clock) -> None:
    fresh = db.write_now(ada.id, accounts.rotate_secret)
    assert fresh != ada.api_secret
    for secret in (fresh, ada.api_secret):
        found = opened(db, secret)
        assert found is not None
        assert (found.account_id, found.kind) == (ada.id, "secret")
    clock.move(SECRET_KEPT_MS - 1)
    assert opened(db, ada.api_secret) is not None
    clock.move(1)
    assert opened(db, ada.api_secret) is None
    assert opened(db, fresh) == Credential(ada.id, "secret", None)
    assert opened(db, ada.api_key) == Credential(ada.id, "key", None)


def test_rotating_again_does_not_lengthen_the_life_of_an_older_secret(
    db: Database, ada: Owner, clock: Clock
) -> None:
    db.write_now(ada.id, accounts.rotate_secret)
    clock.move(SECRET_KEPT_MS - HOUR)
    db.write_now(ada.id, accounts.rotate_secret)
    clock.move(HOUR)
    assert opened(db, ada.api_secret) is None


def test_another_process_knows_a_rotation_within_a_second(
    db: Database, ada: Owner, clock: Clock, open_db: Callable[[], Database]
) -> None:
    other = open_db()
    assert opened(other, ada.api_secret) == Credential(ada.id, "secret", None)
    fresh = db.write_now(ada.id, accounts.rotate_secret)
    clock.move(STALE_MS + 1)
    assert opened(other, fresh) is not None
    found = opened(other, ada.api_secret)
    assert found is not None
    assert found.expires_at is not None


def test_an_unknown_account_is_not_found(db: Database) -> None:
    for account_id in (0, 7, 2**62):
        with pytest.raises(NotFound):
            db.read_now(account_id, accounts.get)


def test_an_integration_is_known_by_its_key_until_it_is_revoked(db: Database) -> None:
    key = db.write_now(INSTALLATION, accounts.create_integration, "Stripe", rate_limit=7)
    given = db.write_now(INSTALLATION, accounts.create_integration, "Shop", key="given-key")
    found = db.read_now(INSTALLATION, accounts.integration, key)
    assert found is not None
    assert (found.name, found.rate_limit, found.revoked_at) == ("Stripe", 7, None)
    assert db.read_now(5, accounts.integration, given) is not None
    assert db.read_now(INSTALLATION, accounts.integration, "unknown-key") is None
    for key_taken, name in (("given-key", "Other"), ("short", "Other"), ("long-enough", "  ")):
        with pytest.raises(Invalid):
            db.write_now(INSTALLATION, accounts.create_integration, name, key=key_taken)
    for _ in range(2):
        db.write_now(INSTALLATION, accounts.revoke_integration, found.id)
        assert db.read_now(INSTALLATION, accounts.integration, key) is None
    with pytest.raises(NotFound):
        db.write_now(INSTALLATION, accounts.revoke_integration, 2**62)
    listed = db.read_now(INSTALLATION, accounts.all_integrations)
    assert [(one.name, one.revoked_at is None) for one in listed] == [("Stripe", False), ("Shop", True)]
    assert given not in str(rows(db, "SELECT * FROM integrations"))
