"""`tidings webhook …`, as it is typed: what is shown of webhooks, their secrets, and telling again."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.typed import Run, refused
from tests.core.test_notices import BROKEN, FINE, settle, states
from tidings.core import notices, webhooks
from tidings.core.notices import Notice, Share
from tidings.core.webhooks import Webhook, keys
from tidings.store.db import Database

TARGET = "https://shop.example/hook"


@pytest.fixture
def db(run: Run, acme: dict[str, object], tmp_path: Path) -> Iterator[Database]:
    opened = Database(f"sqlite:///{tmp_path}/data/tidings.db")
    yield opened
    opened.close()


@pytest.fixture
def hook(db: Database) -> Webhook:
    return db.write_now(1, webhooks.create, "tag_add", TARGET, subject="tag_id", subject_id=5)


def queued(db: Database, hook: Webhook, n: int = 1) -> list[Notice]:
    """Queue and claim so many notices of the only account."""

    def verb(tx: Any) -> None:
        for at in range(n):
            notices.queue(tx, hook, "tag_add", "{}", event_id=at + 1, subscriber_id=None)

    db.write_now(1, verb)
    return db.write_now(0, notices.claim, [Share(1, hook.id, n)], lease=1, lease_ms=60_000)


def read(run: Run, *words: str) -> Any:
    ended = run("webhook", *words, "--json")
    assert (ended.code, ended.err) == (0, "")
    return json.loads(ended.out)


def test_none_is_said_and_each_is_listed_with_what_it_hears(run: Run, db: Database) -> None:
    assert run("webhook", "list").out == "there is no webhook yet\n"
    hook = db.write_now(1, webhooks.create, "tag_add", TARGET, subject="tag_id", subject_id=5)
    db.write_now(1, webhooks.create_for_rule, 9, TARGET + "/rule")
    out = run("webhook", "list").out
    assert f"{hook.id}  enabled  tag_add tag_id=5" in out
    assert "posts of rule 9" in out
    first, second = read(run, "list")
    assert (first["id"], first["state"], second["rule_id"]) == (hook.id, "enabled", 9)
    assert "secret" not in json.dumps([first, second])


def test_one_is_shown_with_what_waits_and_its_last_tries(run: Run, db: Database, hook: Webhook) -> None:
    one, two, _ = queued(db, hook, 3)
    settle(db, BROKEN, one)
    out = run("webhook", "show", str(hook.id)).out
    assert "state: failing" in out
    assert "no success since: " in out
    assert "waiting: 1" in out
    assert f"notice {one.id}" in out
    assert "500" in out
    settle(db, FINE, two)
    shown = read(run, "show", str(hook.id))
    assert (shown["state"], shown["waiting"], len(shown["attempts"])) == ("failing", 1, 2)
    refused(run("webhook", "show", "999"), "webhook not found")


def test_a_secret_is_printed_only_when_asked_for_and_rotated(run: Run, hook: Webhook, tmp_path: Path) -> None:
    first = run("webhook", "secret", str(hook.id)).out
    master = (tmp_path / "data" / "master.key").read_bytes().strip()
    assert first == f"secret: {keys.shown(keys.secret(master, 1, hook.id, 1))}\n"
    assert run("webhook", "secret", str(hook.id)).out == first
    turned = run("webhook", "rotate", str(hook.id)).out
    assert keys.shown(keys.secret(master, 1, hook.id, 2)) in turned
    assert first.removeprefix("secret: ").strip() in turned.splitlines()[1]
    shown = read(run, "secret", str(hook.id))
    assert shown["former_secret"] == first.removeprefix("secret: ").strip()
    assert shown["former_until_at"] > 0
    for word in ("list", "show"):
        words = ("webhook", word) if word == "list" else ("webhook", word, str(hook.id))
        assert "whsec_" not in run(*words).out
    refused(run("webhook", "secret", "999"), "webhook not found")
    refused(run("webhook", "rotate", "999"), "webhook not found")


def test_a_webhook_is_switched_off_and_on(run: Run, db: Database, hook: Webhook) -> None:
    assert "hears nothing" in run("webhook", "disable", str(hook.id)).out
    assert "already" in run("webhook", "disable", str(hook.id)).out
    out = run("webhook", "show", str(hook.id)).out
    assert "state: disabled, disabled by its owner" in out
    assert "replay --webhook" in run("webhook", "enable", str(hook.id)).out
    assert "already" in run("webhook", "enable", str(hook.id)).out
    assert read(run, "disable", str(hook.id))["state"] == "disabled"
    assert read(run, "enable", str(hook.id))["state"] == "enabled"


def test_a_test_queues_what_the_event_would_carry(run: Run, db: Database, hook: Webhook) -> None:
    made = read(run, "test", str(hook.id))["notice"]
    kept = db.read_now(1, notices.get, made)
    assert kept is not None
    assert kept.name == "tag_add"
    assert json.loads(kept.body)["subscriber"]["email_address"] == "sample@example.com"
    assert f"tidings webhook log {hook.id}" in run("webhook", "test", str(hook.id)).out
    run("webhook", "disable", str(hook.id))
    refused(run("webhook", "test", str(hook.id)), "disabled")


def test_the_log_is_paged_and_can_show_failures_only(run: Run, db: Database, hook: Webhook) -> None:
    assert run("webhook", "log", str(hook.id)).out == "there is no try of the last 30 days\n"
    for at, one in enumerate(queued(db, hook, 60)):
        settle(db, FINE if at % 2 else BROKEN, one)
    first = run("webhook", "log", str(hook.id)).out.splitlines()
    assert len(first) == 51
    before = first[-1].removeprefix("more: --before ")
    assert len(run("webhook", "log", str(hook.id), "--before", before).out.splitlines()) == 10
    failed = read(run, "log", str(hook.id), "--failed")
    assert {one["status"] for one in failed} == {500}
    assert len(failed) == 30
    refused(run("webhook", "log", "999"), "webhook not found")


def test_an_answer_of_a_receiver_cannot_steer_the_terminal(run: Run, db: Database, hook: Webhook) -> None:
    (one,) = queued(db, hook)
    settle(db, notices.Told(500, body=b"\x1b[31mred\r\nsecond"), one)
    out = run("webhook", "log", str(hook.id)).out
    assert "\x1b" not in out
    assert "?[31mred" in out
    assert "second" not in out


def test_one_notice_and_a_range_are_told_again(run: Run, db: Database, hook: Webhook) -> None:
    first, second, third = queued(db, hook, 3)
    settle(db, FINE, first, second)
    assert "posted again as soon as the engine runs: 1" in run("webhook", "replay", str(first.id)).out
    assert states(db) == {"told": 1, "queued": 1, "claimed": 1}
    refused(run("webhook", "replay", str(third.id)), "on its way")
    refused(run("webhook", "replay", "999"), "notice not found")
    since = ("replay", "--webhook", str(hook.id), "--since")
    assert read(run, *since, "2026-01-01T00:00", "--until", "2026-01-02T00:00+01:00") == {"replayed": 0}
    assert read(run, *since, "2026-01-01T00:00", "--failed") == {"replayed": 0}
    assert read(run, *since, "2026-01-01T00:00") == {"replayed": 1}
    assert states(db) == {"queued": 2, "claimed": 1}


@pytest.mark.parametrize(
    "words",
    ((), ("3", "--webhook", "4"), ("--webhook", "4"), ("3", "--failed"), ("3", "--since", "2026-01-01")),
)
def test_a_replay_that_is_not_clear_is_refused(run: Run, hook: Webhook, words: tuple[str, ...]) -> None:
    ended = run("webhook", "replay", *words)
    assert ended.code == 1
    assert ended.out == ""


def test_a_time_that_is_none_is_refused(run: Run, hook: Webhook) -> None:
    for typed in ("yesterday", "1969-01-01", "2026-13-01"):
        refused(run("webhook", "replay", "--webhook", "1", "--since", typed), "must be", code=2)
