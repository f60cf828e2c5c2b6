"""Faults come when, where and as often as they were asked for, and in v3's own words."""

import threading

import pytest

from tests.sandbox.asked import CUSTOMER, HELD, WEBINAR, ask, until
from tests.sandbox.conftest import Asked
from tidings.sandbox.faults import Faults, Wanted
from tidings.testing import Sandbox


@pytest.mark.parametrize(
    ("status", "error"),
    ((429, "Rate limit exceeded"), (500, "Internal Server Error"), (503, "Service Unavailable")),
)
def test_the_next_requests_fail_in_the_words_of_v3_and_those_after_do_not(
    sandbox: Sandbox, v3: Asked, status: int, error: str
) -> None:
    sandbox.fail_next(2, status=status, retry_after=7)
    got = [v3("GET", "/tags") for _ in range(3)]
    assert [one.status for one in got] == [status, status, 200]
    assert got[0].json["error"] == error
    assert set(got[0].json) == {"error", "message"}
    assert got[0].headers.get("retry-after") == (None if status == 500 else "7")


@pytest.mark.parametrize("status", (502, 504))
def test_a_gateway_fails_without_json(sandbox: Sandbox, v3: Asked, status: int) -> None:
    sandbox.fail_next(status=status)
    answer = v3("GET", "/tags")
    assert (answer.status, answer.headers["content-type"]) == (status, "text/html")


def test_a_failed_request_did_nothing(sandbox: Sandbox, v3: Asked) -> None:
    sandbox.fail_next(status=500, method="POST")
    assert v3("POST", f"/forms/{WEBINAR}/subscribe", email=HELD).status == 500
    assert v3("GET", f"/subscribers?email_address={HELD}").json["total_subscribers"] == 0


def test_a_request_that_was_carried_out_has_only_lost_its_answer(sandbox: Sandbox, v3: Asked) -> None:
    sandbox.fail_next(status=504, method="POST", carried_out=True)
    assert v3("POST", f"/forms/{WEBINAR}/subscribe", email=HELD).status == 504
    assert v3("GET", f"/subscribers?email_address={HELD}").json["total_subscribers"] == 1


def test_a_fault_meets_only_its_paths_and_its_method(sandbox: Sandbox, v3: Asked) -> None:
    sandbox.fail_next(5, status=500, path="/v3/tags", method="POST")
    assert v3("GET", "/tags").status == 200
    assert v3("GET", "/forms").status == 200
    assert v3("POST", f"/tags/{CUSTOMER}/subscribe", email=HELD).status == 500
    assert ask(sandbox, "POST", f"/api/v3/tags/{CUSTOMER}/subscribe", {"api_key": "?"}).status == 500
    (left,) = sandbox.state()["faults"]
    assert (left["left"], left["met"]) == (3, 2)


def test_a_share_of_the_requests_fails_evenly(sandbox: Sandbox, v3: Asked) -> None:
    sandbox.fail_share(0.25, status=503)
    assert [v3("GET", "/tags").status for _ in range(8)] == [200, 200, 200, 503] * 2
    sandbox.end_faults()
    assert {v3("GET", "/tags").status for _ in range(8)} == {200}


@pytest.mark.parametrize(
    ("share", "of", "hits"), ((0.1, 1_000, 100), (1 / 3, 300, 100), (0.7, 10, 7), (1, 5, 5))
)
def test_a_share_is_counted_out_exactly(share: float, of: int, hits: int) -> None:
    faults = Faults()
    faults.add(Wanted(status=500, share=share))
    assert sum(faults.take("GET", "/v3/tags") is not None for _ in range(of)) == hits


def test_faults_follow_each_other_in_the_order_they_were_asked_for(sandbox: Sandbox, v3: Asked) -> None:
    sandbox.fail_next(status=429)
    sandbox.fail_next(status=503)
    assert [v3("GET", "/tags").status for _ in range(3)] == [429, 503, 200]


def test_a_slow_request_waits_and_the_others_do_not(sandbox: Sandbox, v3: Asked) -> None:
    sandbox.slow_next(60, path="/v3/tags")
    ended: list[int] = []
    slow = threading.Thread(target=lambda: ended.append(v3("GET", "/tags").status))
    slow.start()
    until(lambda: not sandbox.state()["faults"])
    assert v3("GET", "/forms").status == 200
    assert ended == []
    # Whoever is kept waiting goes on when the faults are ended.
    sandbox.end_faults()
    slow.join(30)
    assert ended == [200]


def test_the_control_address_itself_never_fails(sandbox: Sandbox) -> None:
    sandbox.fail_share(1, status=500, path="/")
    assert ask(sandbox, "GET", "/sandbox").status == 200
    assert ask(sandbox, "GET", "/health").status == 500
