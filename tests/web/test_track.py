"""The pixel and the tracked links: everybody is answered, only what is ours is kept."""

import asyncio
import logging
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.web.asgi import Answer, call
from tests.web.doors import KEY, Rooms, ask
from tidings.core import accounts, broadcasts, deliveries, events, tracking
from tidings.core.tracking import machines
from tidings.errors import Unavailable
from tidings.store.tx import Tx
from tidings.tokens import LEAVE, TRACK, Claim, link_ref, read, read_pair, read_ref, sign, sign_pair
from tidings.web.http import Edge, Reply
from tidings.web.public import track, waiting
from tidings.web.public.door import Door

BROWSER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0"
HOUR = 3_600_000
URL = "https://example.com/read?a=1&b=ü#top"


class Mailed(Rooms):
    """A house whose broadcast was sent to Bea an hour ago, with one link."""

    def mail(self) -> None:
        form = self.form(confirmation="none")
        self.sign_up(form, "bea@example.com", "Bea")
        bea = self.person("bea@example.com")
        assert bea is not None
        self.bea = bea.id
        draft = broadcasts.Draft(subject="News")
        self.broadcast = self.db.write_now(self.account_id, broadcasts.create, draft, "ada@example.com").id
        self.owner = f"broadcast:{self.broadcast}"
        self.delivery = self.send(self.owner)
        self.link = self.write(tracking.link_ids, self.owner, [URL])[0]
        self.token = self.house.links.track_token(self.account_id, self.delivery, self.bea)
        self.now += HOUR

    def send(self, occasion: str) -> int:
        self.write(deliveries.queue, occasion, self.bea, lane="bulk")

        def settle(tx: Tx) -> int:
            sql = (
                "UPDATE deliveries SET state = 'sent', handed_at = :now, settled_at = :now"
                " WHERE occasion = :occasion RETURNING id"
            )
            row = tx.one(sql, now=self.now, occasion=occasion)
            assert row is not None
            return int(row[0])

        return int(self.write(settle))

    def write(self, verb: Any, *args: Any, **options: Any) -> Any:
        return self.db.write_now(self.account_id, verb, *args, **options)

    def click_path(self, link: int = 0) -> str:
        ref = link_ref(KEY, self.account_id, link or self.link)
        return self.house.links.click(self.token, ref).removeprefix("http://tidings.test")

    def open_path(self, token: str = "") -> str:
        return self.house.links.open(token or self.token).removeprefix("http://tidings.test")

    def hits(self) -> list[tuple[Any, ...]]:
        return self.rows("SELECT delivery_id, subscriber_id, link_id, machine FROM hits ORDER BY id")

    def numbers(self) -> tuple[int, ...]:
        sql = "SELECT opens, clicks, total_clicks, machine_opens, machine_clicks FROM broadcasts"
        return self.rows(sql)[0]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Mailed]:
    made = Mailed(tmp_path)
    made.mail()
    yield made
    made.db.close()


@pytest.fixture
def door(here: Mailed) -> Door:
    return Door(here.house)


def fetch(door: Door, method: str, *paths: str, agent: str = BROWSER, **headers: str) -> list[Answer]:
    """Ask for these in one loop, then close the door as the server does."""

    async def ask_all() -> list[Answer]:
        sent = {"user-agent": agent, **{name.replace("_", "-"): value for name, value in headers.items()}}
        answers = [await call(door, method, path, sent) for path in paths]
        await door.close()
        return answers

    return asyncio.run(ask_all())


def test_an_open_gets_the_picture_and_is_kept_once_the_door_closes(here: Mailed, door: Door) -> None:
    (answer,) = fetch(door, "GET", here.open_path())
    assert (answer.status, answer.body) == (200, track.GIF)
    assert len(track.GIF) == 43
    assert answer.headers["content-type"] == "image/gif"
    assert answer.headers["content-length"] == "43"
    assert answer.headers["cache-control"] == "no-store, private"
    assert here.hits() == [(here.delivery, here.bea, None, None)]
    assert here.numbers() == (1, 0, 0, 0, 0)


def test_an_open_is_written_by_itself_within_moments(here: Mailed, door: Door, monkeypatch: Any) -> None:
    monkeypatch.setattr(waiting, "FLUSH_SECONDS", 0.01)

    async def wait() -> None:
        await call(door, "GET", here.open_path(), {"user-agent": BROWSER})
        while not here.hits():  # noqa: ASYNC110 (another thread writes them)
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(wait(), 30))
    assert here.numbers() == (1, 0, 0, 0, 0)


def test_the_edge_around_the_door_leaves_nothing_of_one_answer_in_the_next(here: Mailed, door: Door) -> None:
    edge = Edge(
        door, log=logging.getLogger("edge"), trusted_proxies=(), error_reply=lambda _: lambda *_: Reply(500)
    )
    sent: list[Any] = []

    async def nothing() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def keep(message: Any) -> None:
        sent.append(message)

    async def ask_twice() -> None:
        for _ in range(2):
            path = here.open_path()
            scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}
            await edge(scope, nothing, keep)

    asyncio.run(ask_twice())
    first, second = (one["headers"] for one in sent if one["type"] == "http.response.start")
    assert len(first) == len(second)
    assert [name for name, _ in second].count(b"x-request-id") == 1


def test_a_head_of_the_picture_is_a_machine_s_and_has_no_body(here: Mailed, door: Door) -> None:
    (answer,) = fetch(door, "HEAD", here.open_path())
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "43")
    assert here.hits() == [(here.delivery, here.bea, None, machines.HEAD)]


def test_a_picture_that_is_fetched_again_at_once_is_one_open(here: Mailed, door: Door) -> None:
    fetch(door, "GET", *[here.open_path()] * 50)
    assert len(here.hits()) == 1


def test_a_bad_token_gets_the_same_picture_and_is_no_hit(here: Mailed, door: Door) -> None:
    good = fetch(door, "GET", here.open_path("x" * 55))[0]
    long = f"{'A' * 9_000}/o.gif"
    names = ("/o.gif", "x/o.gif", "é/o.gif", "%00/o.gif", here.token, f"{here.token}.gif", long)
    for name in names:
        assert fetch(door, "GET", f"/o/{name}")[0] == good
    assert here.hits() == []


def test_a_click_is_sent_on_after_it_was_kept(here: Mailed, door: Door) -> None:
    answer = ask(door, "GET", here.click_path(), headers={"user-agent": BROWSER})
    assert answer.status == 302
    assert answer.headers["location"] == "https://example.com/read?a=1&b=%C3%BC#top"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "no-store" in answer.headers["cache-control"]
    assert here.hits() == [(here.delivery, here.bea, here.link, None)]
    assert here.numbers() == (0, 1, 1, 0, 0)
    told = here.db.read_now(here.account_id, events.of_subscriber, here.bea)
    assert [one.value for one in told if one.name == "link_click"] == [URL]
    again = ask(door, "GET", here.click_path(), headers={"user-agent": BROWSER})
    assert again == answer
    assert here.numbers() == (0, 1, 2, 0, 0)


def test_a_head_of_a_link_is_sent_on_and_is_a_machine_s(here: Mailed, door: Door) -> None:
    answer = ask(door, "HEAD", here.click_path(), headers={"user-agent": BROWSER})
    assert (answer.status, answer.body) == (302, b"")
    assert here.hits() == [(here.delivery, here.bea, here.link, machines.HEAD)]
    assert here.numbers() == (0, 0, 0, 0, 1)


@pytest.mark.parametrize(
    ("headers", "reason"),
    (
        ({"user-agent": ""}, machines.AGENT),
        ({"user-agent": "curl/8"}, machines.AGENT),
        ({"user-agent": BROWSER, "sec-purpose": "prefetch"}, machines.PREFETCH),
        ({"user-agent": BROWSER, "purpose": "prefetch"}, machines.PREFETCH),
        ({"user-agent": BROWSER, "x-moz": "prefetch"}, machines.PREFETCH),
    ),
)
def test_a_scanner_is_sent_on_as_anybody(
    here: Mailed, door: Door, headers: dict[str, str], reason: str
) -> None:
    answer = ask(door, "GET", here.click_path(), headers=headers)
    assert answer.status == 302
    assert [hit[3] for hit in here.hits()] == [reason]
    assert here.numbers() == (0, 0, 0, 0, 1)


def test_a_hit_keeps_the_network_and_not_the_address(here: Mailed, door: Door) -> None:
    ask(door, "GET", here.click_path(), headers={"user-agent": BROWSER + "x" * 900}, client="198.51.100.77")
    address, agent = here.rows("SELECT address, agent FROM hits")[0]
    assert address == "198.51.100.0/24"
    assert agent == (BROWSER + "x" * 900)[: tracking.AGENT_MAX]


def test_every_flipped_bit_of_a_token_or_a_reference_is_refused(here: Mailed, door: Door) -> None:
    chance = random.Random(5)
    token, ref = here.click_path().split("/")[2:]
    for text, path in ((token, "/c/{}/" + ref), (ref, f"/c/{token}/" + "{}")):
        for at in range(len(text)):
            flipped = chance.choice([one for one in "Ab0_-9zQ.%/é" if one != text[at]])
            answer = ask(door, "GET", path.format(text[:at] + flipped + text[at + 1 :]))
            assert answer.status == 404, at
            assert "location" not in answer.headers
    assert here.hits() == []


def test_no_bit_of_a_token_can_be_changed() -> None:
    for number in range(40):
        token = sign_pair(KEY, TRACK, number, number * 7, number * 11)
        ref = link_ref(KEY, number, number * 13)
        assert read_pair(KEY, TRACK, token) == (number, number * 7, number * 11)
        assert read_ref(KEY, number, ref) == number * 13
        for text, opens in (
            (token, lambda t: read_pair(KEY, TRACK, t)),
            (ref, lambda r: read_ref(KEY, 0, r)),
        ):
            for at, sign_ in enumerate(text):
                for bit in range(8):
                    changed = text[:at] + chr(ord(sign_) ^ (1 << bit)) + text[at + 1 :]
                    assert opens(changed) is None
            for other in (text + "=", text + "A", text[:-1], " " + text, text + "\n", ""):
                assert opens(other) is None


def test_tokens_of_one_purpose_open_no_other() -> None:
    pair = sign_pair(KEY, TRACK, 1, 2, 3)
    assert read_pair(KEY, LEAVE, pair) is None
    assert read_pair(b"another key of at least 32 octets", TRACK, pair) is None
    assert read(KEY, TRACK, pair) is None
    assert read_pair(KEY, "confirm", sign(KEY, "confirm", Claim(1, 2, 3))) is None
    ref = link_ref(KEY, 1, 2)
    assert len(ref) == 16
    assert read_ref(KEY, 2, ref) is None
    assert read_ref(KEY, 1, ref) == 2


def test_swapped_tokens_never_lead_anywhere(here: Mailed, door: Door) -> None:
    ref = link_ref(KEY, here.account_id, here.link)
    links = here.house.links
    other = here.account("Eve's", "eve@example.com")
    foreign = links.track_token(other, here.delivery, here.bea)
    leave = links.leave_token(here.account_id, here.bea, here.delivery)
    paths = [f"/c/{leave}/{ref}", f"/c/{foreign}/{ref}", f"/c/{foreign}/{link_ref(KEY, other, here.link)}"]
    paths += [f"/c/{here.token}/{link_ref(KEY, here.account_id, 999)}", f"/c/{here.token}", "/c/x", "/c/x/y"]
    paths += [f"/c/{here.token}/{ref}/x", f"/c/{here.token}/{ref}%3F"]
    for path in paths:
        answer = ask(door, "GET", path)
        assert answer.status == 404, path
        assert "location" not in answer.headers
        assert "does not work" in answer.text
    fetch(door, "GET", here.open_path(leave))
    assert here.hits() == []


def test_a_link_of_another_mail_leads_nowhere(here: Mailed, door: Door) -> None:
    (other,) = here.write(tracking.link_ids, "broadcast:999", ["https://other.example/"])
    answer = ask(door, "GET", here.click_path(other), headers={"user-agent": BROWSER})
    assert answer.status == 404
    assert here.hits() == []


def test_a_link_works_for_ever_though_its_delivery_was_folded_away(here: Mailed, door: Door) -> None:
    here.write(lambda tx: tx.run("DELETE FROM deliveries"))
    answer = ask(door, "GET", here.click_path(), headers={"user-agent": BROWSER})
    assert answer.status == 302
    fetch(door, "GET", here.open_path())
    assert here.hits() == []


@pytest.mark.parametrize(
    "url",
    (
        "javascript:alert(1)",
        "data:text/html,x",
        "//evil.example",
        "",
        "/path",
        "https://",
        "http://[",
        "ftp://x",
    ),
)
def test_only_http_addresses_are_led_to(here: Mailed, door: Door, url: str) -> None:
    (link,) = here.write(tracking.link_ids, here.owner, [url])
    answer = ask(door, "GET", here.click_path(link), headers={"user-agent": BROWSER})
    assert answer.status == 404
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    "url", ("https://x.example/\r\nset-cookie: a=b", "https://x.example/\x00", "https://x/ a")
)
def test_no_address_can_add_a_header(url: str) -> None:
    assert track.location(url) is None


def test_an_address_in_any_script_is_fit_for_a_header() -> None:
    assert track.location("https://bücher.example/ß?q=✓") == b"https://b%C3%BCcher.example/%C3%9F?q=%E2%9C%93"
    assert track.location("https://x.example/%41?a=b&c=d#e") == b"https://x.example/%41?a=b&c=d#e"


def test_other_methods_are_refused_and_change_nothing(here: Mailed, door: Door) -> None:
    before = here.dump()
    for path in (here.click_path(), here.open_path()):
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            answer = ask(door, method, path)
            assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    assert here.dump() == before


def test_the_path_that_is_logged_has_no_token(here: Mailed, door: Door) -> None:
    shown = []

    async def look(path: str) -> None:
        async def nothing() -> dict[str, Any]:
            return {"type": "http.request", "body": b""}

        async def drop(_: Any) -> None:
            pass

        scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}
        await door(scope, nothing, drop)
        shown.append(scope["path"])

    token = here.house.links.leave_token(here.account_id, here.bea, here.delivery)
    for path in (here.click_path(), here.open_path(), f"/u/{token}", f"/p/{token}", f"//u//{token}"):
        asyncio.run(look(path))
    assert shown == ["/c/*", "/o/*", "/u/*", "/p/*", "/u/*"]


def test_the_oldest_open_makes_room_and_its_loss_is_said(
    here: Mailed, door: Door, monkeypatch: Any, caplog: Any
) -> None:
    monkeypatch.setattr(waiting, "WAITING_MAX", 3)
    sent = [here.send(f"{here.owner}:{n}") for n in range(5)]
    here.now += HOUR
    links = here.house.links
    with caplog.at_level(logging.WARNING):
        fetch(
            door, "GET", *(here.open_path(links.track_token(here.account_id, one, here.bea)) for one in sent)
        )
    assert [hit[0] for hit in here.hits()] == sent[2:]
    assert [(one.message, one.count) for one in caplog.records] == [("opens dropped", 2)]


def test_opens_that_the_storage_refuses_wait_on(here: Mailed, door: Door, monkeypatch: Any) -> None:
    async def refuse(*_: Any, **__: Any) -> None:
        raise Unavailable("the disk is full")

    with monkeypatch.context() as full:
        full.setattr(here.db, "write", refuse)
        assert fetch(door, "GET", here.open_path())[0].status == 200
    assert here.hits() == []
    asyncio.run(door.close())
    assert len(here.hits()) == 1


def test_a_reader_is_sent_on_while_the_storage_refuses(here: Mailed, door: Door, monkeypatch: Any) -> None:
    async def refuse(*_: Any, **__: Any) -> None:
        raise Unavailable("the disk is full")

    monkeypatch.setattr(here.db, "write", refuse)
    assert ask(door, "GET", here.click_path(), headers={"user-agent": BROWSER}).status == 302


def test_an_account_that_switched_tracking_off_keeps_nobody_s_hits(here: Mailed, door: Door) -> None:
    here.write(accounts.set_tracking, opens=False, clicks=False)
    assert ask(door, "GET", here.click_path(), headers={"user-agent": BROWSER}).status == 302
    assert fetch(door, "GET", here.open_path())[0].body == track.GIF
    assert here.hits() == []
    here.write(accounts.set_tracking, opens=True, clicks=False)
    here.now += HOUR
    ask(door, "GET", here.click_path(), headers={"user-agent": BROWSER})
    fetch(door, "GET", here.open_path())
    assert here.hits() == [(here.delivery, here.bea, None, None)]
