"""Rows 17 and 21 of contract section 8 and section 1.5: how often a key may call, and who pays."""

from collections.abc import Callable, Iterator

import pytest

from tests.api_v3.client import Api, read, said
from tests.api_v3.world import ADA, EVE, dump
from tests.core.cast import Clock, rows
from tidings.core import accounts, limits
from tidings.store.db import Database

K, S = ADA.key, ADA.secret
LIMIT = 120


class Ticks:
    """The monotonic clock of the counters in memory; moves only when told to."""

    def __init__(self) -> None:
        self.now = 10**15

    def __call__(self) -> int:
        return self.now

    def move(self, ms: int) -> None:
        self.now += ms * 1_000_000


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ticks]:
    ticks = Ticks()
    with monkeypatch.context() as patched:
        patched.setattr(limits.time, "monotonic_ns", ticks)
        yield ticks


def spend(api: Api, given: dict[str, str], times: int, client: str = "192.0.2.7") -> list[int]:
    """The statuses of so many calls."""
    return [api.ask("GET", "/v3/tags", given, client=client).status for _ in range(times)]


@pytest.fixture
def limited(db: Database) -> Api:
    return Api(db, rate_limit=3)


def test_row_8_17_after_120_requests_the_next_is_429_json_with_retry_after(
    db: Database, clock: Clock, ticks: Ticks
) -> None:
    api = Api(db, rate_limit=LIMIT)
    assert set(spend(api, S, LIMIT)) == {200}
    before = dump(db)
    answer = api.ask("POST", "/v3/tags", {**S, "tag": {"name": "New"}})
    assert said(answer) == (429, "Rate limit exceeded", "Try again in 60 seconds")
    assert answer.headers["retry-after"] == "60"
    assert dump(db) == before


def test_row_8_17_the_window_rolls_and_a_refused_request_costs_nothing(
    limited: Api, clock: Clock, ticks: Ticks
) -> None:
    def wait(ms: int) -> None:
        clock.move(ms)
        ticks.move(ms)

    assert spend(limited, S, 1) == [200]
    wait(30_000)
    assert spend(limited, S, 4) == [200, 200, 429, 429]
    answer = limited.ask("GET", "/v3/tags", S)
    assert answer.headers["retry-after"] == "30"
    wait(29_500)
    last = limited.ask("GET", "/v3/tags", S)
    assert said(last) == (429, "Rate limit exceeded", "Try again in 1 second")
    wait(500)
    assert spend(limited, S, 2) == [200, 429]
    wait(30_000)
    assert spend(limited, S, 3) == [200, 200, 429]


def test_row_8_17_the_limit_of_zero_is_off(db: Database) -> None:
    assert set(spend(Api(db, rate_limit=0), S, 2 * LIMIT)) == {200}
    assert rows(db, "SELECT COUNT(*) FROM rate_windows") == [(0,)]


def test_row_8_21_the_key_and_the_secret_of_an_account_count_apart(limited: Api) -> None:
    assert spend(limited, K, 4) == [200, 200, 200, 429]
    assert spend(limited, S, 4) == [200, 200, 200, 429]
    assert spend(limited, EVE.secret, 4) == [200, 200, 200, 429]
    # The secret by its other name, and beside the key, is still the secret.
    assert spend(limited, {"api_key": S["api_secret"]}, 1) == [429]
    assert spend(limited, {**K, **S}, 1) == [429]


def test_row_8_21_the_public_key_counts_per_address_and_the_secret_does_not(limited: Api) -> None:
    assert spend(limited, K, 4, "198.51.100.1") == [200, 200, 200, 429]
    assert spend(limited, K, 4, "198.51.100.2") == [200, 200, 200, 429]
    assert spend(limited, S, 3, "198.51.100.1") == [200, 200, 200]
    assert spend(limited, S, 1, "198.51.100.2") == [429]


def test_row_8_21_neighbours_in_an_ipv6_network_are_one_address(limited: Api) -> None:
    assert spend(limited, K, 3, "2001:db8::1") == [200, 200, 200]
    assert spend(limited, K, 1, "2001:db8::ffff:2") == [429]
    assert spend(limited, K, 1, "2001:db8:0:1::1") == [200]


def test_failed_credentials_count_against_the_address_and_never_against_the_key(limited: Api) -> None:
    wrong = [{"api_secret": "guess-1"}, {"api_key": "guess-2"}, {"api_secret": K["api_key"]}]
    guesses = [limited.ask("GET", "/v3/tags", one, client="198.51.100.1").status for one in wrong]
    assert guesses == [401, 401, 401]
    assert spend(limited, {"api_secret": "guess-3"}, 1, "198.51.100.1") == [429]
    # Who knows the secret is let in from the same address, and nobody else's guesses are stopped.
    assert spend(limited, S, 4, "198.51.100.1") == [200, 200, 200, 429]
    assert spend(limited, {"api_secret": "guess-4"}, 1, "198.51.100.2") == [401]


def test_a_call_that_needs_more_than_the_key_counts_against_the_key(limited: Api) -> None:
    asked = [limited.ask("GET", "/v3/account", K).status for _ in range(4)]
    assert asked == [401, 401, 401, 429]


def test_unknown_paths_and_methods_and_the_document_cost_nothing(limited: Api) -> None:
    for _ in range(5):
        assert limited.ask("GET", "/v3/nothing", S).status == 404
        assert limited.ask("PATCH", "/v3/tags", S).status == 405
        assert limited.send("OPTIONS", "/v3/tags").status == 204
        assert limited.send("GET", "/v3/openapi.json").status == 200
    assert spend(limited, S, 3) == [200, 200, 200]


def buying(api: Api, key: str, times: int, credentials: dict[str, str] = S) -> list[int]:
    order = {"transaction_id": "t", "email_address": "jon@example.com"}
    params = {**credentials, "integration_key": key, "purchase": order}
    return [api.ask("POST", "/v3/purchases", params).status for _ in range(times)]


def issue(db: Database, clock: Clock, name: str, rate_limit: int | None) -> str:
    key: str = db.write_now(0, accounts.create_integration, name, key=f"{name}-key", rate_limit=rate_limit)
    # Readers may be a second late.
    clock.move(2_000)
    return key


def test_an_integration_carries_its_own_limit(limited: Api, clock: Clock) -> None:
    key = issue(limited.db, clock, "Stripe", 5)
    assert buying(limited, key, 6) == [201] * 5 + [429]
    # Apart from the account's own calls, and from another account's calls through the same integration.
    assert spend(limited, S, 4) == [200, 200, 200, 429]
    assert buying(limited, key, 5, EVE.secret) == [201] * 5


def test_an_integration_without_a_limit_of_its_own_spends_the_accounts(limited: Api, clock: Clock) -> None:
    key = issue(limited.db, clock, "Stripe", None)
    assert buying(limited, key, 4) == [201, 201, 201, 429]
    assert spend(limited, S, 1) == [429]


def test_an_integration_with_a_limit_of_zero_is_not_limited(limited: Api, clock: Clock) -> None:
    key = issue(limited.db, clock, "Stripe", 0)
    assert buying(limited, key, 5) == [201] * 5


def test_an_unknown_integration_key_does_not_lift_the_limit(limited: Api) -> None:
    assert buying(limited, "nobodys", 4) == [401, 401, 401, 429]


def test_several_processes_on_one_postgresql_count_together(
    open_db: Callable[[], Database], ticks: Ticks, clock: Clock
) -> None:
    first, second = Api(open_db(), rate_limit=4), Api(open_db(), rate_limit=4)
    statuses = [
        status for api in (first, second, first, second, first, second) for status in spend(api, S, 1)
    ]
    if not first.db.shared:
        # A SQLite file is served by one process, which counts in memory.
        assert statuses == [200] * 6
        return
    assert statuses == [200] * 4 + [429] * 2
    clock.move(limits.WINDOW_MS)
    ticks.move(limits.WINDOW_MS)
    assert spend(second, S, 1) == [200]


def test_what_was_counted_is_no_secret(limited: Api) -> None:
    spend(limited, S, 1)
    spend(limited, K, 1)
    spend(limited, {"api_secret": "guess"}, 1)
    names = repr(rows(limited.db, "SELECT name FROM rate_windows")) + repr(limited.house.windows._stamps)
    for word in (S["api_secret"], K["api_key"], "guess"):
        assert word not in names
    assert read(limited.ask("GET", "/v3/account", S))
