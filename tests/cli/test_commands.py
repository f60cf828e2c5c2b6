"""Every command, as it is typed: what it prints, how it ends, and that a mistake is one plain line."""

import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.typed import Ended, Run, refused
from tidings import __version__, declare
from tidings.cli import grammar
from tidings.core import accounts, outbox, tags
from tidings.core.users import sessions
from tidings.store.db import Database

# -- the grammar ------------------------------------------------------------------------

COMMANDS = (
    "serve", "web", "engine", "migrate", "apply", "sign-in", "outbox", "doctor", "version", "account create",
    "account list", "account rotate", "account show", "account update", "broadcast list", "broadcast show",
    "broadcast send", "broadcast pause", "broadcast resume", "broadcast cancel", "broadcast retry",
    "broadcast recipients", "broadcast audience", "dkim create", "dkim list", "dkim retire",
    "integration create", "integration list", "integration revoke",
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(run: Run, command: str) -> None:
    ended = run(*command.split(), "--help")
    assert ended.code == 0
    assert f"example:\n  tidings {command}" in ended.out
    assert "--database" in ended.out
    assert "--config" in ended.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_example_can_be_typed(run: Run, command: str) -> None:
    example = run(*command.split(), "--help").out.partition("example:\n")[2].strip()
    program, *words = shlex.split(example)
    assert program == "tidings"
    assert callable(grammar.parser().parse_args(words).command)


def test_what_is_typed_wrongly_is_said_in_one_line_and_ends_with_2(run: Run) -> None:
    refused(run(), "the following arguments are required: COMMAND", 2)
    refused(run("serv"), "invalid choice: 'serv'", 2)
    refused(run("account", "create", "--name", "x"), "required: --email", 2)
    refused(run("account", "list", "--jso"), "unrecognized arguments: --jso", 2)
    refused(run("account", "rotate", "--account", "0"), "must be a whole number of 1 or more", 2)
    refused(run("integration", "create", "--name", "x", "--rate-limit", "x"), "must be a whole number", 2)


def test_the_version_is_printed(run: Run) -> None:
    assert run("version") == Ended(0, f"tidings {__version__}\n", "")


def test_python_m_tidings_is_the_same_program() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tidings", "version"], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, f"tidings {__version__}\n")


# -- settings ---------------------------------------------------------------------------


def test_database_and_config_may_stand_before_or_after_the_command(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('database = "sqlite:///of-the-file.db"\n')
    run("--config", "a.toml", "migrate")
    run("migrate", "--database", "sqlite:///typed.db", "--config", "a.toml")
    run("--database", "sqlite:///before.db", "migrate")
    assert {path.name for path in tmp_path.glob("*.db")} == {"of-the-file.db", "typed.db", "before.db"}


def test_what_is_typed_wins_over_the_environment(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDINGS_DATABASE", "sqlite:///environment.db")
    run("migrate")
    run("migrate", "--database", "sqlite:///typed.db")
    assert {path.name for path in tmp_path.glob("*.db")} == {"environment.db", "typed.db"}


def test_settings_that_cannot_be_used_are_said(run: Run, tmp_path: Path) -> None:
    refused(run("migrate", "--config", "nothing.toml"), "the settings file nothing.toml cannot be read")
    (tmp_path / "a.toml").write_text("prot = 1")
    refused(run("migrate", "--config", "a.toml"), "has an unknown line: prot")
    refused(run("web", "--port", "http"), "TIDINGS_PORT must be a whole number")


# -- the database -----------------------------------------------------------------------


def test_migrating_says_what_ran_and_does_it_once(run: Run) -> None:
    first = run("migrate")
    assert first.code == 0
    assert "0001 core" in first.out
    assert run("migrate") == Ended(0, "the database is of this version already\n", "")


NEEDS_A_DATABASE = (
    ("web",), ("engine",), ("sign-in",), ("outbox",), ("account", "list"),
    ("account", "rotate", "--account", "1"), ("integration", "create", "--name", "x"),
    ("integration", "list"), ("integration", "revoke", "1"), ("account", "show"),
    ("account", "update", "--name", "x"), ("broadcast", "list"), ("broadcast", "send", "1"),
    ("dkim", "create", "--domain", "example.com"), ("dkim", "list"),
)  # fmt: skip


@pytest.mark.parametrize("words", NEEDS_A_DATABASE, ids=" ".join)
def test_a_missing_database_is_refused_and_not_made(run: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    refused(run(*words), "there is no database data/tidings.db yet; run: tidings migrate")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", NEEDS_A_DATABASE, ids=" ".join)
def test_an_unmigrated_database_is_refused(run: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "empty.db").touch()
    ended = run(*words, "--database", "sqlite:///empty.db")
    refused(ended, "the database is not migrated yet; run: tidings migrate")


def test_a_database_of_a_later_version_is_refused_by_all(
    run: Run, acme: dict[str, object], tmp_path: Path
) -> None:
    db = Database(f"sqlite:///{tmp_path}/data/tidings.db")
    db.write_now(0, lambda tx: tx.run("INSERT INTO migrations VALUES (9999, 'later', 0)"))
    db.close()
    for words in (
        ("account", "list"),
        ("migrate",),
        ("account", "create", "--name", "x", "--email", "x@y.example"),
    ):
        refused(run(*words), "written by a later version of Tidings")


def test_a_database_that_cannot_be_used_is_said_without_its_password(run: Run, tmp_path: Path) -> None:
    (tmp_path / "junk.db").write_text("this is no database, however long one looks at it\n" * 20)
    refused(run("account", "list", "--database", "sqlite:///junk.db"), "is not an SQLite database")
    refused(
        run("migrate", "--database", "mysql://x"), "the database must be sqlite:///FILE or postgresql://…"
    )
    refused(run("migrate", "--database", "sqlite:////proc/none/x.db"), "the database file cannot be used")
    for words in (("account", "list"), ("serve", "--port", "0"), ("migrate",)):
        ended = run(*words, "--database", "postgresql://me:hush@127.0.0.1:1/x")
        refused(ended, "the database cannot be reached")
        assert "hush" not in ended.err
    malformed = run("account", "list", "--database", "postgresql://me:hush@[")
    refused(malformed, "the address of the database cannot be read")
    assert "hush" not in malformed.err


# -- accounts ---------------------------------------------------------------------------


def test_an_account_is_made_in_an_empty_database(run: Run, empty_url: str) -> None:
    ended = run("account", "create", "--name", "Acme", "--email", "you@example.com", "--database", empty_url)
    assert ended.code == 0
    assert re.search(r"^api_key: +\S{20,}$", ended.out, re.MULTILINE)
    assert re.search(r"^api_secret: +\S{20,}$", ended.out, re.MULTILINE)
    listed = run("account", "list", "--json", "--database", empty_url)
    [account] = json.loads(listed.out)
    assert (account["id"], account["name"], account["plan"]) == (1, "Acme", "creator")


def test_keys_may_be_given_and_open_the_account(run: Run, tmp_path: Path) -> None:
    words = ("account", "create", "--name", "A", "--email", "a@example.com", "--api-secret", "secret-123")
    made = json.loads(run(*words, "--api-key", "key-12345", "--json").out)
    assert made == {"account_id": 1, "api_key": "key-12345", "api_secret": "secret-123"}
    db = Database(f"sqlite:///{tmp_path}/data/tidings.db")
    opened = db.read_now(0, accounts.opened_by, "secret-123")
    db.close()
    assert opened is not None
    assert (opened.account_id, opened.kind) == (1, "secret")
    refused(run(*words), "api_secret is already in use")


def test_a_secret_is_never_listed(run: Run, acme: dict[str, object]) -> None:
    listed = run("account", "list").out + run("account", "list", "--json").out
    assert str(acme["api_key"]) in listed
    assert str(acme["api_secret"]) not in listed


@pytest.mark.parametrize("name", ("", "  ", "a\nb", "\x1b[31mred", "x" * 256, "\udcff"))
def test_a_name_that_cannot_be_shown_is_refused(run: Run, name: str) -> None:
    ended = run("account", "create", "--name", name, "--email", "a@example.com")
    refused(ended, "the name must be one line of 1 to 255 printable characters")


def test_an_account_needs_an_email_address(run: Run) -> None:
    refused(run("account", "create", "--name", "A", "--email", "nobody"), "email is not an email address")


def test_a_rotated_secret_opens_and_is_printed_once(
    run: Run, acme: dict[str, object], tmp_path: Path
) -> None:
    rotated = json.loads(run("account", "rotate", "--account", "1", "--json").out)
    assert rotated["api_secret"] != acme["api_secret"]
    db = Database(f"sqlite:///{tmp_path}/data/tidings.db")
    assert db.read_now(0, accounts.opened_by, rotated["api_secret"]) is not None
    old = db.read_now(0, accounts.opened_by, str(acme["api_secret"]))
    db.close()
    assert old is not None
    assert old.expires_at is not None
    assert "api_secret: " in run("account", "rotate", "--account", "1").out
    refused(run("account", "rotate", "--account", "7"), "there is no account 7")


def test_without_an_account_every_command_that_needs_one_says_so(run: Run) -> None:
    run("migrate")
    for words in (("sign-in",), ("outbox",), ("apply", os.devnull), ("broadcast", "list"), ("dkim", "list")):
        refused(run(*words), "there is no account yet; run: tidings account create")
    assert run("account", "list") == Ended(0, "there is no account yet; run: tidings account create\n", "")


def test_with_two_accounts_one_must_be_chosen(run: Run, acme: dict[str, object]) -> None:
    run("account", "create", "--name", "B", "--email", "b@example.com")
    for words in (("sign-in",), ("outbox",), ("apply", os.devnull), ("account", "show"), ("dkim", "list")):
        refused(run(*words), "there are 2 accounts; choose one with --account ID")
        assert run(*words, "--account", "2").code == 0
        refused(run(*words, "--account", "3"), "there is no account 3")


def test_what_is_listed_cannot_steer_the_terminal(run: Run, acme: dict[str, object], tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path}/data/tidings.db")
    db.write_now(1, outbox.keep, 1, "a@example.com", "\x1b]0;owned\x07 \u202e", b"")
    db.close()
    ended = run("outbox")
    assert "a@example.com" in ended.out
    assert ended.out.rstrip("\n").isprintable()


# -- integrations -----------------------------------------------------------------------


def test_an_integration_is_made_listed_and_revoked(run: Run, acme: dict[str, object], tmp_path: Path) -> None:
    assert "no integration yet" in run("integration", "list").out
    made = run("integration", "create", "--name", "Stripe", "--rate-limit", "600").out
    key = made.split()[1]
    run("integration", "create", "--name", "Shop", "--key", "shop-key-1")
    listed = run("integration", "list").out
    assert re.search(r"^1 +Stripe +600 in 60 s +since", listed, re.MULTILINE)
    assert re.search(r"^2 +Shop +general limit +since", listed, re.MULTILINE)
    assert key not in listed
    assert run("integration", "revoke", "1").code == 0
    assert "revoked" in run("integration", "list").out
    db = Database(f"sqlite:///{tmp_path}/data/tidings.db")
    assert db.read_now(0, accounts.integration, key) is None
    assert db.read_now(0, accounts.integration, "shop-key-1") is not None
    db.close()
    refused(run("integration", "revoke", "9"), "integration not found")
    refused(run("integration", "create", "--name", "Shop", "--key", "shop-key-1"), "key is already in use")
    refused(run("integration", "create", "--name", "Shop", "--key", "short"), "at least 8 characters")


# -- apply ------------------------------------------------------------------------------


def test_a_file_is_applied_and_said(run: Run, acme: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(declare.example())
    first = run("apply", "a.toml")
    assert (first.code, first.err) == (0, "")
    assert "subscribers: 5 made" in first.out
    assert "subscribers: 5 left as it is" in run("apply", "a.toml").out


def test_standard_input_is_applied(
    run: Run, acme: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'[[tags]]\nname = "x"')))
    assert run("apply", "-").out == "tags: 1 made\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'[[tags]]\nnmae = "x"')))
    refused(run("apply", "-"), 'standard input, line 2: unknown key "nmae" in [[tags]]')


def test_a_file_that_cannot_be_applied_is_said_with_its_line(
    run: Run, acme: dict[str, object], tmp_path: Path
) -> None:
    (tmp_path / "newsletter.toml").write_text('[[forms]]\nname = "x"\ntitel = "y"\n')
    refused(
        run("apply", "newsletter.toml"),
        'tidings: newsletter.toml, line 3: unknown key "titel" in [[forms]]\n',
    )
    refused(run("apply", "nothing.toml"), "nothing.toml cannot be read: No such file or directory")
    refused(run("apply", "."), ". cannot be read: Is a directory")
    (tmp_path / "latin.toml").write_bytes(b'[[tags]]\nname = "\xe9"')
    refused(run("apply", "latin.toml"), "latin.toml is not UTF-8 text (byte 17)")
    with (tmp_path / "large.toml").open("wb") as large:
        large.truncate(17 * 1_048_576)
    refused(run("apply", "large.toml"), "large.toml is larger than 16 MiB")


def test_a_file_with_a_byte_order_mark_is_read(run: Run, acme: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b'\xef\xbb\xbf[[tags]]\r\nname = "x"\r\n')
    assert run("apply", "a.toml").out == "tags: 1 made\n"


# -- looking ----------------------------------------------------------------------------


def test_a_sign_in_link_opens_the_account_once(run: Run, acme: dict[str, object], tmp_path: Path) -> None:
    link = run("sign-in").out.strip()
    assert link.startswith("http://127.0.0.1:8080/sign-in/")
    db = Database(f"sqlite:///{tmp_path}/data/tidings.db")
    token = link.rpartition("/")[2]
    signed_in = db.write_now(0, sessions.use_link, token)
    again = db.write_now(0, sessions.use_link, token)
    db.close()
    assert signed_in is not None
    assert signed_in[0] == 1
    assert again is None


def test_kept_mail_is_listed_newest_first(run: Run, acme: dict[str, object], tmp_path: Path) -> None:
    assert run("outbox").out == "the Outbox is empty\n"
    db = Database(f"sqlite:///{tmp_path}/data/tidings.db")
    for at, name in enumerate(("first", "second"), 1):
        db.write_now(1, outbox.keep, at, f"{name}@example.com", f"The {name}", b"raw")
    db.close()
    lines = run("outbox").out.splitlines()
    assert [line.split()[4] for line in lines] == ["second@example.com", "first@example.com"]
    assert lines[0].endswith("The second")


def test_the_doctor_ends_with_1_when_something_fails(run: Run) -> None:
    ended = run("doctor")
    assert (ended.code, ended.err) == (1, "")
    assert "fail  database: there is no file data/tidings.db; run: tidings migrate" in ended.out
    run("account", "create", "--name", "Acme", "--email", "you@example.com")
    well = run("doctor")
    assert well.code == 0
    assert "ok    example.com: example domain, not checked" in well.out


def test_tags_made_by_apply_are_those_of_the_account_that_was_named(
    run: Run, acme: dict[str, object], tmp_path: Path
) -> None:
    run("account", "create", "--name", "B", "--email", "b@example.com")
    (tmp_path / "a.toml").write_text('[[tags]]\nname = "x"')
    run("apply", "a.toml", "--account", "2")
    db = Database(f"sqlite:///{tmp_path}/data/tidings.db")
    assert db.read_now(1, tags.all_tags) == {}
    assert [one.name for one in db.read_now(2, tags.all_tags).values()] == ["x"]
    db.close()
