"""A reset is complete, whatever went on; and two sandboxes know nothing of each other."""

import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.asked import ARYA, CUSTOMER, HELD, NEWSLETTER, WEBINAR, ask, receiver, until
from tests.sandbox.conftest import Asked
from tests.sandbox.test_controls import hook
from tidings.testing import Sandbox, Wrong

LISTS = ("/forms", "/tags", "/sequences", "/custom_fields", "/broadcasts", "/purchases")


def everything(sandbox: Sandbox, v3: Asked) -> list[Any]:
    """All that v3 shows of the account, and the state but for its clock."""
    state = sandbox.state()
    for moving in ("now", "resets"):
        del state[moving]
    shown = [v3("GET", path).raw for path in LISTS]
    shown += [v3("GET", f"/subscribers?status={one}").raw for one in state["subscribers"]]
    return [state, *shown, v3("GET", "/automations/hooks").raw, sandbox.mails(), sandbox.webhooks()]


def test_a_reset_brings_back_all_that_the_seed_had_and_nothing_else(sandbox: Sandbox, v3: Asked) -> None:
    before = everything(sandbox, v3)
    with receiver() as heard:
        hook(v3, heard.url, "subscriber.subscriber_activate")
        v3("POST", f"/forms/{WEBINAR}/subscribe", email=HELD, fields={"last_name": "B"})
        v3("POST", f"/tags/{CUSTOMER}/subscribe", email=HELD)
        v3("POST", "/tags", tag={"name": "new"})
        v3("POST", "/custom_fields", label="City")
        v3("POST", "/broadcasts", subject="A draft", content="<p>x</p>")
        v3("PUT", "/unsubscribe", email=ARYA)
        sandbox.advance("10 days")
        sandbox.fail_share(1, path="/f/")
        assert everything(sandbox, v3) != before
        sandbox.reset()
        assert everything(sandbox, v3) == before


def test_ids_are_the_same_after_each_reset(sandbox: Sandbox, v3: Asked) -> None:
    made = []
    for _ in range(2):
        subscription = v3("POST", f"/forms/{WEBINAR}/subscribe", email=HELD).json["subscription"]
        made.append((subscription["id"], subscription["subscriber"]["id"]))
        sandbox.reset()
    assert made[0] == made[1]


def test_a_reset_begins_the_rate_limit_anew(sandbox: Sandbox, v3: Asked) -> None:
    while v3("GET", "/tags").status == 200:
        pass
    sandbox.reset()
    assert v3("GET", "/tags").status == 200


def test_a_reset_waits_for_no_slow_request_and_loses_none(sandbox: Sandbox, v3: Asked) -> None:
    sandbox.slow_next(60, times=4, path="/v3/forms")
    got: list[int] = []
    asking = [
        threading.Thread(
            target=lambda at=at: got.append(
                v3("POST", f"/forms/{WEBINAR}/subscribe", email=f"p{at}@example.com").status
            )
        )
        for at in range(4)
    ]
    for one in asking:
        one.start()
    until(lambda: not sandbox.state()["faults"])
    sandbox.reset()
    for one in asking:
        one.join(30)
    # They were answered by the life that ended, so the next one has no trace of them.
    assert got == [200] * 4
    assert sandbox.state()["subscribers"]["active"] == 1


def test_resets_between_requests_that_never_stop_leave_it_well(sandbox: Sandbox) -> None:
    stop = threading.Event()
    odd: list[int] = []

    def ask_on(at: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            given = {"api_key": sandbox.api_key, "email": f"p{at}x{number}@example.com"}
            status = ask(sandbox, "POST", f"/v3/forms/{NEWSLETTER}/subscribe", given).status
            if status not in (200, 429):
                odd.append(status)

    asking = [threading.Thread(target=ask_on, args=(at,)) for at in range(3)]
    for one in asking:
        one.start()
    for _ in range(15):
        sandbox.reset()
    stop.set()
    for one in asking:
        one.join(30)
    assert odd == []
    sandbox.reset()
    assert sandbox.state()["subscribers"]["inactive"] == 1


def test_two_sandboxes_at_once_know_nothing_of_each_other(sandbox: Sandbox, v3: Asked) -> None:
    with Sandbox() as other:
        assert other.base_url != sandbox.base_url
        given = {"api_key": other.api_key, "email": HELD}
        assert ask(other, "POST", f"/v3/forms/{NEWSLETTER}/subscribe", given).status == 200
        other.advance("1 day")
        other.fail_next()
        assert len(other.mails(to=HELD)) == 1
        assert sandbox.mails() == []
        assert (sandbox.state()["ahead_seconds"], sandbox.state()["faults"]) == (0, [])
        assert v3("GET", "/tags").status == 200


def test_a_seed_of_ones_own_is_what_is_there(tmp_path: Path) -> None:
    seed = tmp_path / "seed.toml"
    seed.write_text('[[tags]]\nid = 77\nname = "mine"\n\n[[subscribers]]\nemail = "a@example.com"\n')
    with Sandbox(seed=seed) as one:
        state = one.state()
        assert state["tags"] == [{"id": 77, "name": "mine"}]
        assert state["subscribers"]["active"] == 1
        one.reset()
        assert one.state()["tags"] == [{"id": 77, "name": "mine"}]


def test_a_broadcast_of_a_bare_seed_goes_when_its_time_comes(tmp_path: Path) -> None:
    seed = tmp_path / "seed.toml"
    seed.write_text('[[subscribers]]\nemail = "a@example.com"\n')
    with Sandbox(seed=seed) as one:
        at = datetime.fromisoformat(one.state()["now"]) + timedelta(days=2)
        given = {"api_secret": one.api_secret, "subject": "Hello", "content": "<p>Hi</p>"}
        made = ask(one, "POST", "/v3/broadcasts", {**given, "send_at": at.isoformat()})
        assert made.status in (200, 201), made.raw
        one.advance("1 day")
        assert one.mails() == []
        one.advance("1 day 1 hour")
        assert [(mail["to"], mail["subject"]) for mail in one.mails()] == [("a@example.com", "Hello")]


@pytest.mark.parametrize(
    ("text", "why"),
    (
        (b"[[tags]]\nid = 0\nname = 'x'\n", "line 2"),
        (b"[[nothing]]\n", "nothing"),
        (b"= =", "line 1"),
        (b"\xff\xfe", "not UTF-8"),
    ),
)
def test_a_bad_seed_is_refused_in_a_sentence(tmp_path: Path, text: bytes, why: str) -> None:
    seed = tmp_path / "seed.toml"
    seed.write_bytes(text)
    with pytest.raises(Wrong) as refused:
        Sandbox(seed=seed).start()
    assert why in str(refused.value)
    assert "Traceback" not in str(refused.value)


def test_a_port_in_use_and_a_missing_seed_are_said_in_a_sentence(sandbox: Sandbox, tmp_path: Path) -> None:
    taken = int(sandbox.base_url.rpartition(":")[2])
    with pytest.raises(Wrong, match=f"port {taken} is in use; choose another"):
        Sandbox(port=taken).start()
    with pytest.raises(Wrong, match="No such file"):
        Sandbox(seed=tmp_path / "none.toml").start()


def test_a_sandbox_that_does_not_run_says_so() -> None:
    one = Sandbox()
    one.stop()
    with pytest.raises(Wrong, match="does not run"):
        one.reset()
