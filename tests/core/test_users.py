"""Users: links, sessions, roles, passwords' keeping and the second factor."""

import asyncio

import pytest

from tests.core.cast import DAY, Cast, Clock, Owner, rows
from tidings.core import accounts, audit, users
from tidings.core.accounts import INSTALLATION
from tidings.core.audit import Actor
from tidings.core.users import proofs, sessions
from tidings.errors import Conflict, Invalid, NotFound
from tidings.store.db import Database


def begun(db: Database, account_id: int, user_id: int | None = None) -> str:
    """Begin a session of a user, or of the account's owner; return its secret."""
    user_id = user_id or db.write_now(account_id, users.owner_of).id
    return db.write_now(account_id, sessions.begin, user_id, agent="Firefox", address="192.0.2.0/24")


def admitted(db: Database, account_id: int, email: str, role: str) -> int:
    return db.write_now(account_id, users.admit, email, role).id


def test_a_link_works_once_and_within_its_time(db: Database, cast: Cast, clock: Clock) -> None:
    link = db.write_now(cast.ada.id, sessions.link)
    late = db.write_now(cast.ada.id, sessions.link)
    used = db.write_now(INSTALLATION, sessions.use_link, link)
    assert used is not None
    assert (used[0], used[2]) == (cast.ada.id, "command")
    assert db.write_now(INSTALLATION, sessions.use_link, link) is None
    mailed = db.write_now(cast.ada.id, sessions.link, used[1], "mail")
    clock.move(sessions.LINK_MS["mail"])
    assert db.write_now(INSTALLATION, sessions.use_link, mailed) is None
    clock.move(sessions.LINK_MS["command"])
    for wrong in (late, "", "unknown", "\0"):
        assert db.write_now(INSTALLATION, sessions.use_link, wrong) is None


def test_a_link_clicked_twice_at_once_is_used_once(db: Database, ada: Owner) -> None:
    link = db.write_now(ada.id, sessions.link)

    async def check() -> list[object]:
        return list(
            await asyncio.gather(*(db.write(INSTALLATION, sessions.use_link, link) for _ in range(20)))
        )

    assert sum(one is not None for one in asyncio.run(check())) == 1


def test_neither_links_nor_sessions_are_kept_in_clear(db: Database, ada: Owner) -> None:
    link, secret = db.write_now(ada.id, sessions.link), begun(db, ada.id)
    kept = str(rows(db, "SELECT * FROM sign_in_links")) + str(rows(db, "SELECT * FROM sessions"))
    assert link not in kept
    assert secret not in kept


def test_a_session_ends_after_thirty_days_or_by_signing_out(db: Database, ada: Owner, clock: Clock) -> None:
    first, second = begun(db, ada.id), begun(db, ada.id)
    db.write_now(INSTALLATION, sessions.sign_out, first)
    assert db.read_now(INSTALLATION, sessions.current, first) is None
    clock.move(30 * DAY - 1)
    signed = db.read_now(INSTALLATION, sessions.current, second)
    assert signed is not None
    assert (signed.account_id, signed.role, signed.email) == (ada.id, "owner", "ada@example.com")
    clock.move(1)
    assert db.read_now(INSTALLATION, sessions.current, second) is None


def test_an_accounts_first_owner_is_made_of_its_own_address_once(db: Database, cast: Cast) -> None:
    made = db.write_now(cast.ada.id, users.owner_of)
    assert made.email == "ada@example.com"
    assert made.password_at is None
    assert db.write_now(cast.ada.id, users.owner_of) == made
    db.write_now(cast.ada.id, accounts.describe, primary_email="letters@example.com")
    assert db.write_now(cast.ada.id, users.owner_of) == made


def test_a_user_may_work_on_several_accounts_and_switch(db: Database, cast: Cast) -> None:
    user_id = admitted(db, cast.ada.id, "Fay@Example.com", "editor")
    assert admitted(db, cast.eve.id, "fay@example.COM", "viewer") == user_id
    secret = begun(db, cast.ada.id, user_id)
    signed = db.read_now(INSTALLATION, sessions.current, secret)
    assert signed is not None
    assert signed.role == "editor"
    assert db.read_now(INSTALLATION, users.account_ids, user_id) == sorted((cast.ada.id, cast.eve.id))
    db.write_now(INSTALLATION, sessions.switch, signed.id, user_id, cast.eve.id)
    signed = db.read_now(INSTALLATION, sessions.current, secret)
    assert signed is not None
    assert (signed.account_id, signed.role) == (cast.eve.id, "viewer")


def test_nobody_switches_to_an_account_that_is_not_theirs(db: Database, cast: Cast) -> None:
    secret = begun(db, cast.ada.id)
    signed = db.read_now(INSTALLATION, sessions.current, secret)
    assert signed is not None
    with pytest.raises(NotFound):
        db.write_now(INSTALLATION, sessions.switch, signed.id, signed.user_id, cast.eve.id)
    assert db.read_now(INSTALLATION, sessions.current, secret) == signed


def test_who_is_dismissed_is_out_at_once_and_their_links_too(db: Database, cast: Cast) -> None:
    db.write_now(cast.ada.id, users.owner_of)
    user_id = admitted(db, cast.ada.id, "fay@example.com", "editor")
    secret, link = begun(db, cast.ada.id, user_id), db.write_now(cast.ada.id, sessions.link, user_id)
    db.write_now(cast.ada.id, users.dismiss, user_id)
    assert db.read_now(INSTALLATION, sessions.current, secret) is None
    assert db.write_now(INSTALLATION, sessions.use_link, link) is None
    with pytest.raises(NotFound):
        db.write_now(cast.ada.id, users.dismiss, user_id)


def test_the_last_owner_stays_one(db: Database, cast: Cast) -> None:
    owner = db.write_now(cast.ada.id, users.owner_of).id
    with pytest.raises(Conflict):
        db.write_now(cast.ada.id, users.dismiss, owner)
    with pytest.raises(Conflict):
        db.write_now(cast.ada.id, users.set_role, owner, "viewer")
    second = admitted(db, cast.ada.id, "fay@example.com", "viewer")
    db.write_now(cast.ada.id, users.set_role, second, "owner")
    db.write_now(cast.ada.id, users.dismiss, owner)
    assert [one.user.id for one in db.read_now(cast.ada.id, users.members)] == [second]


def test_users_of_another_account_are_out_of_reach(db: Database, cast: Cast) -> None:
    theirs = db.write_now(cast.eve.id, users.owner_of).id
    db.write_now(cast.ada.id, users.owner_of)
    with pytest.raises(NotFound):
        db.write_now(cast.ada.id, users.set_role, theirs, "viewer")
    with pytest.raises(NotFound):
        db.write_now(cast.ada.id, users.dismiss, theirs)
    assert theirs not in [one.user.id for one in db.read_now(cast.ada.id, users.members)]


@pytest.mark.parametrize(
    ("email", "role"), (("nobody", "editor"), ("fay@example.com", "king"), ("", "viewer"))
)
def test_wrong_invitations_are_refused(db: Database, ada: Owner, email: str, role: str) -> None:
    with pytest.raises(Invalid):
        db.write_now(ada.id, users.admit, email, role)
    assert rows(db, "SELECT * FROM memberships") == []


def test_an_address_belongs_to_one_user(db: Database, cast: Cast) -> None:
    ada = db.write_now(cast.ada.id, users.owner_of)
    db.write_now(cast.eve.id, users.owner_of)
    with pytest.raises(Invalid):
        db.write_now(INSTALLATION, users.describe, ada.id, name="Ada", email="EVE@example.com")
    db.write_now(INSTALLATION, users.describe, ada.id, name=" Ada  L. ", email="Ada@example.com")
    found = db.read_now(INSTALLATION, users.by_email, "ADA@EXAMPLE.COM")
    assert found is not None
    assert (found.id, found.name) == (ada.id, "Ada L.")


def test_old_sessions_give_way_to_new_ones(db: Database, ada: Owner) -> None:
    owner = db.write_now(ada.id, users.owner_of).id
    secrets = [begun(db, ada.id, owner) for _ in range(sessions.SESSIONS_MAX + 2)]
    living = [db.read_now(INSTALLATION, sessions.current, one) is not None for one in secrets]
    assert living == [False, False, *[True] * sessions.SESSIONS_MAX]
    mine = db.read_now(INSTALLATION, sessions.of_user, owner)
    assert len(mine) == sessions.SESSIONS_MAX
    db.write_now(INSTALLATION, sessions.end, owner, mine[1].id)
    assert db.write_now(INSTALLATION, sessions.end_others, owner, mine[0].id) == sessions.SESSIONS_MAX - 2
    with pytest.raises(NotFound):
        db.write_now(INSTALLATION, sessions.end, owner + 1, mine[0].id)


@pytest.mark.parametrize(
    "password", ("short", "passwort!!", "aaaaaaaaaaaa", "1234567890", "ada@example.com", "x" * 201)
)
def test_passwords_that_anybody_would_guess_are_refused(password: str) -> None:
    with pytest.raises(Invalid):
        proofs.check_new_password(password, "ada@example.com")


def test_other_passwords_are_taken() -> None:
    proofs.check_new_password("correct horse battery", "ada@example.com")


def test_the_second_factor_begins_when_it_was_proved(db: Database, ada: Owner) -> None:
    db.pepper = b"p" * 32
    owner = db.write_now(ada.id, users.owner_of).id
    db.write_now(INSTALLATION, proofs.offer_totp, owner, "SECRET234")
    offered = db.read_now(INSTALLATION, proofs.of_user, owner)
    assert offered is not None
    assert offered.totp is None
    assert db.read_now(INSTALLATION, proofs.offered_totp, owner) == "SECRET234"
    assert "SECRET234" not in str(rows(db, "SELECT * FROM users"))
    codes = db.write_now(INSTALLATION, proofs.begin_totp, owner, 100)
    proved = db.read_now(INSTALLATION, proofs.of_user, owner)
    assert proved is not None
    assert proved.totp == "SECRET234"
    assert len(set(codes)) == proofs.RECOVERY_CODES
    with pytest.raises(Conflict):
        db.write_now(INSTALLATION, proofs.offer_totp, owner, "OTHER")
    assert [db.write_now(INSTALLATION, proofs.spend_step, owner, step) for step in (100, 101, 101, 99)] == [
        False, True, False, False,
    ]  # fmt: skip
    assert db.write_now(INSTALLATION, proofs.spend_recovery, owner, f" {codes[3]} ")
    assert not db.write_now(INSTALLATION, proofs.spend_recovery, owner, codes[3])
    assert not db.write_now(INSTALLATION, proofs.spend_recovery, owner, "")
    db.write_now(INSTALLATION, proofs.end_totp, owner)
    ended = db.read_now(INSTALLATION, proofs.of_user, owner)
    assert ended is not None
    assert ended.totp is None
    assert not db.write_now(INSTALLATION, proofs.spend_recovery, owner, codes[4])


def test_what_was_done_is_noted_with_it_or_not_at_all(db: Database, cast: Cast, clock: Clock) -> None:
    actor = Actor(7, "ada@example.com", "192.0.2.0/24")
    admit = (audit.acted, actor, "user.invite", "fay@example.com", users.admit, "fay@example.com")
    db.write_now(cast.ada.id, *admit, "editor")
    with pytest.raises(Invalid):
        db.write_now(cast.ada.id, *admit, "editor")
    noted = db.read_now(cast.ada.id, audit.newest)
    assert [(one.who, one.act, one.subject) for one in noted] == [
        ("ada@example.com", "user.invite", "fay@example.com")
    ]
    assert db.read_now(cast.eve.id, audit.newest) == []
    assert db.read_now(cast.ada.id, audit.newest, noted[0].id) == []
    clock.move(audit.KEPT_MS)
    assert db.write_now(INSTALLATION, audit.fold, clock.now, 10) == 1
