"""Opens and clicks: first one wins, machines apart, everything once, on both databases."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.core.cast import HOUR, NOON, Cast, Clock, rows, told
from tidings.core import broadcasts, deliveries, tracking
from tidings.core.deliveries import Mark
from tidings.core.tracking import Hit, Link, machines
from tidings.errors import Invalid
from tidings.store.db import Database

BROWSER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0"
URLS = ["https://example.com/a", "https://example.com/b", "https://example.com/c"]


class Post:
    """Ada's broadcast, its links, and a delivery of it to Bea that was sent an hour ago."""

    def __init__(self, db: Database, cast: Cast, clock: Clock) -> None:
        self.db, self.cast, self.clock, self.account = db, cast, clock, cast.ada.id
        draft = broadcasts.Draft(subject="News")
        self.broadcast = db.write_now(self.account, broadcasts.create, draft, "ada@example.com").id
        self.owner = f"broadcast:{self.broadcast}"
        self.delivery = self.send(cast.bea)
        self.links = self.link(self.owner, URLS)
        clock.move(HOUR)

    def link(self, owner: str, urls: list[str]) -> list[Link]:
        ids = self.db.write_now(self.account, tracking.link_ids, owner, urls)
        found = [self.db.read_now(self.account, tracking.link, one) for one in ids]
        assert all(found)
        return [one for one in found if one]

    def send(self, subscriber_id: int, occasion: str = "") -> int:
        """Queue a delivery and have it sent now; return its id."""
        occasion = occasion or self.owner
        self.db.write_now(self.account, deliveries.queue, occasion, subscriber_id, lane="bulk")

        def settle(tx: object) -> int:
            sql = (
                "UPDATE deliveries SET state = 'sent', handed_at = :now, settled_at = :now"
                " WHERE occasion = :occasion AND subscriber_id = :subscriber_id RETURNING id"
            )
            row = tx.one(sql, now=self.clock.now, occasion=occasion, subscriber_id=subscriber_id)  # type: ignore[attr-defined]
            return int(row[0])

        return self.db.write_now(self.account, settle)

    def opened(self, delivery: int = 0, who: int = 0, machine: str | None = None, at: int = 0) -> Hit:
        return Hit(
            delivery or self.delivery, who or self.cast.bea, at or self.clock.now, None, machine, BROWSER
        )

    def clicked(self, on: int = 0, machine: str | None = None, at: int = 0) -> Hit:
        return Hit(self.delivery, self.cast.bea, at or self.clock.now, self.links[on], machine, BROWSER)

    def record(self, *hits: Hit, **switches: bool) -> list[bool]:
        return self.db.write_now(self.account, tracking.record, list(hits), **switches)

    def numbers(self) -> dict[str, int]:
        """The broadcast's numbers that are not zero."""
        names = "opens, clicks, total_clicks, machine_opens, machine_clicks, unsubscribes"
        row = rows(self.db, f"SELECT {names} FROM broadcasts WHERE id = :id", id=self.broadcast)[0]  # noqa: S608
        return {name: int(str(n)) for name, n in zip(names.split(", "), row, strict=True) if n}

    def of_links(self) -> list[tuple[object, ...]]:
        return rows(self.db, "SELECT clicks, unique_clicks, machine_clicks FROM links ORDER BY id")

    def counted(self) -> list[list[tuple[object, ...]]]:
        """Every row that hits are counted in."""
        tables = ("deliveries", "links", "broadcasts")
        return [rows(self.db, f"SELECT * FROM {one} ORDER BY id") for one in tables]  # noqa: S608

    def reasons(self) -> list[object]:
        return [row[0] for row in rows(self.db, "SELECT machine FROM hits ORDER BY id")]

    def marks(self) -> tuple[object, ...]:
        names = "opened_at, clicked_at, machine_opened_at, machine_clicked_at"
        return rows(self.db, f"SELECT {names} FROM deliveries WHERE id = :id", id=self.delivery)[0]  # noqa: S608

    def clicks_told(self) -> list[tuple[object, ...]]:
        every = told(self.db, self.cast.ada, self.cast.bea)
        return [(one.subject_id, one.value) for one in every if one.name == "link_click"]


@pytest.fixture
def post(db: Database, cast: Cast, clock: Clock) -> Post:
    return Post(db, cast, clock)


def test_the_links_of_a_content_are_made_once(post: Post) -> None:
    ids = [one.id for one in post.links]
    assert len(set(ids)) == 3
    again = post.link(post.owner, [URLS[2], URLS[0], URLS[2]])
    assert [one.id for one in again] == [ids[2], ids[0], ids[2]]
    other = post.link("sequence-email:3", URLS[:1])
    assert other[0].id not in ids
    assert (other[0].owner, other[0].url) == ("sequence-email:3", URLS[0])
    assert len(rows(post.db, "SELECT id FROM links")) == 4


def test_a_link_of_another_account_is_not_found(post: Post) -> None:
    assert post.db.read_now(post.cast.eve.id, tracking.link, post.links[0].id) is None
    assert post.db.read_now(post.account, tracking.link, 999) is None


def test_a_link_that_is_endless_is_refused(post: Post) -> None:
    with pytest.raises(Invalid):
        post.db.write_now(post.account, tracking.link_ids, post.owner, ["https://x.example/" + "a" * 9_000])


def test_the_first_open_wins_and_later_ones_are_kept_only(post: Post) -> None:
    first = post.clock.now
    assert post.record(post.opened(), post.opened()) == [True, True]
    post.clock.move(HOUR)
    post.record(post.opened())
    assert post.numbers() == {"opens": 1}
    assert post.marks() == (first, None, None, None)
    assert post.reasons() == [None, None, None]


def test_a_batch_counts_each_person_once_and_machines_apart(post: Post) -> None:
    others = [post.send(who) for who in (post.cast.cal, post.cast.dee)]
    post.clock.move(HOUR)
    who = {others[0]: post.cast.cal, others[1]: post.cast.dee, post.delivery: post.cast.bea}
    hits = [post.opened(one, who[one]) for one in who for _ in range(40)]
    hits += [post.opened(one, who[one], machines.PROXY) for one in others for _ in range(5)]
    random.Random(3).shuffle(hits)
    assert all(post.record(*hits))
    assert post.numbers() == {"opens": 3, "machine_opens": 2}
    assert post.record(*hits) == [True] * len(hits)
    assert post.numbers() == {"opens": 3, "machine_opens": 2}
    assert len(post.reasons()) == 2 * (3 * 40 + 2 * 5)


def test_a_batch_of_hundreds_is_one_write(post: Post) -> None:
    hits = []
    for n in range(277):
        delivery = post.send(post.cast.bea, f"{post.owner}:{n}")
        hits.append((delivery, post.cast.bea))
    post.clock.move(HOUR)
    assert all(post.record(*(post.opened(*one) for one in hits)))
    assert post.numbers() == {"opens": 277}
    assert len(post.reasons()) == 277
    kept = rows(post.db, "SELECT COUNT(*) FROM deliveries WHERE opened_at = :at", at=post.clock.now)
    assert kept == [(277,)]


def test_no_more_opens_of_one_mail_are_kept_than_its_bound(post: Post) -> None:
    for _ in range(3):
        post.record(*(post.opened() for _ in range(tracking.OPENS_KEPT - 30)))
    assert len(post.reasons()) == tracking.OPENS_KEPT
    assert post.numbers() == {"opens": 1}


def test_no_more_clicks_of_one_mail_are_kept_than_its_bound(post: Post) -> None:
    post.record(*(post.clicked() for _ in range(tracking.CLICKS_KEPT + 20)))
    assert len(post.reasons()) == tracking.CLICKS_KEPT
    assert post.numbers() == {"clicks": 1, "total_clicks": tracking.CLICKS_KEPT}


def test_a_double_click_is_one_clicker_and_one_event(post: Post) -> None:
    first = post.clock.now
    assert post.record(post.clicked(), post.clicked()) == [True, True]
    post.clock.move(HOUR)
    assert post.record(post.clicked()) == [True]
    assert post.numbers() == {"clicks": 1, "total_clicks": 3}
    assert post.of_links() == [(3, 1, 0), (0, 0, 0), (0, 0, 0)]
    assert post.marks() == (None, first, None, None)
    assert post.clicks_told() == [(post.links[0].id, URLS[0])]


def test_a_click_on_a_second_link_is_an_event_of_its_own(post: Post) -> None:
    post.record(post.clicked(0))
    post.clock.move(HOUR)
    post.record(post.clicked(1))
    assert post.numbers() == {"clicks": 1, "total_clicks": 2}
    assert post.of_links() == [(1, 1, 0), (1, 1, 0), (0, 0, 0)]
    assert [value for _, value in post.clicks_told()] == URLS[:2]


@pytest.mark.parametrize("reason", machines.REASONS[:5])
def test_a_machine_s_hit_raises_only_the_machines_numbers(post: Post, reason: str) -> None:
    at = post.clock.now
    post.record(post.opened(machine=reason), post.clicked(machine=reason), post.clicked(machine=reason))
    assert post.numbers() == {"machine_opens": 1, "machine_clicks": 1}
    assert post.of_links()[0] == (0, 0, 2)
    assert post.marks() == (None, None, at, at)
    assert post.clicks_told() == []
    assert post.reasons() == [reason] * 3


def test_a_person_still_counts_after_a_machine(post: Post) -> None:
    post.record(post.opened(machine=machines.PROXY), post.clicked(machine=machines.GATEWAY))
    post.clock.move(HOUR)
    post.record(post.opened(), post.clicked())
    assert post.numbers() == {
        "opens": 1, "clicks": 1, "total_clicks": 1, "machine_opens": 1, "machine_clicks": 1
    }  # fmt: skip
    assert len(post.clicks_told()) == 1


@pytest.mark.parametrize(("after_ms", "early"), ((0, True), (2_999, True), (3_000, False), (60_000, False)))
def test_what_comes_within_three_seconds_of_the_hand_over_is_a_machine_s(
    post: Post, after_ms: int, early: bool
) -> None:
    post.clock.move(-HOUR + after_ms)
    post.record(post.opened(), post.clicked())
    expected = machines.EARLY if early else None
    assert post.reasons() == [expected, expected]
    assert len(post.clicks_told()) == (0 if early else 1)


def test_a_hit_before_the_250_was_noted_is_told_by_the_hand_over(post: Post) -> None:
    sql = "UPDATE deliveries SET state = 'handed', handed_at = :at, settled_at = NULL"
    post.db.write_now(post.account, lambda tx: tx.run(sql, at=NOON))
    post.record(post.opened(at=NOON + 1_000))
    post.record(post.opened(at=NOON + 9_000))
    assert post.reasons() == [machines.EARLY, None]


def test_a_quick_open_that_a_person_s_click_follows_was_a_person_s(post: Post) -> None:
    post.clock.move(-HOUR + 1_000)
    opened_at = post.clock.now
    post.record(post.opened())
    assert post.numbers() == {"machine_opens": 1}
    post.clock.move(8_000)
    post.record(post.clicked())
    assert post.numbers() == {"opens": 1, "clicks": 1, "total_clicks": 1}
    assert post.marks() == (opened_at, post.clock.now, None, None)
    assert post.reasons() == [None, None]


def test_a_proxy_s_open_stays_one_whatever_follows(post: Post) -> None:
    post.clock.move(-HOUR + 1_000)
    post.record(post.opened(), post.opened(machine=machines.PROXY))
    post.clock.move(8_000)
    post.record(post.clicked())
    assert post.numbers() == {"opens": 1, "machine_opens": 1, "clicks": 1, "total_clicks": 1}
    assert post.reasons() == [None, machines.PROXY, None]


def test_three_links_within_two_seconds_are_a_machine_s_all_three(post: Post) -> None:
    start = post.clock.now
    for on in range(3):
        post.record(post.clicked(on, at=start + on * 1_000))
    assert post.reasons() == [machines.BURST] * 3
    assert post.numbers() == {"machine_clicks": 1}
    assert post.of_links() == [(0, 0, 1)] * 3
    assert post.marks() == (None, None, None, start)


def test_a_burst_takes_back_only_its_own_clicks(post: Post) -> None:
    first = post.clock.now
    post.record(post.clicked(0))
    post.clock.move(HOUR)
    post.record(*(post.clicked(on) for on in range(3)))
    assert post.reasons() == [None] + [machines.BURST] * 3
    assert post.numbers() == {"clicks": 1, "total_clicks": 1, "machine_clicks": 1}
    assert post.of_links() == [(1, 1, 1), (0, 0, 1), (0, 0, 1)]
    assert post.marks() == (None, first, None, post.clock.now)


@pytest.mark.parametrize(("links", "apart_ms"), (((0, 1, 0, 1), 100), ((0, 1, 2), 1_500)))
def test_two_links_at_once_and_three_in_turn_are_a_person_s(
    post: Post, links: tuple[int, ...], apart_ms: int
) -> None:
    for on in links:
        post.record(post.clicked(on))
        post.clock.move(apart_ms)
    assert set(post.reasons()) == {None}
    assert post.numbers() == {"clicks": 1, "total_clicks": len(links)}


def test_who_follows_the_link_that_nobody_sees_is_a_machine(post: Post) -> None:
    post.links += post.link(post.owner, [tracking.HONEY_URL])
    post.record(post.clicked(0))
    post.record(post.clicked(3, at=post.clock.now + 500))
    post.record(post.clicked(1, at=post.clock.now + 900))
    assert post.reasons() == [machines.BURST, machines.HONEY, machines.BURST]
    assert post.numbers() == {"machine_clicks": 1}


def test_a_link_of_another_mail_does_not_fit_and_changes_nothing(post: Post) -> None:
    post.links = post.link("broadcast:999", URLS)
    before = rows(post.db, "SELECT * FROM deliveries")
    assert post.record(post.clicked()) == [False]
    assert post.reasons() == []
    assert rows(post.db, "SELECT * FROM deliveries") == before
    assert set(post.of_links()) == {(0, 0, 0)}


def test_a_delivery_that_is_not_there_changes_nothing(post: Post) -> None:
    before = post.counted()
    unknown = [post.opened(999), Hit(999, post.cast.bea, post.clock.now, post.links[0])]
    foreign = [
        post.opened(who=post.cast.cal),
        Hit(post.delivery, post.cast.cal, post.clock.now, post.links[0]),
    ]
    assert post.record(*unknown, *foreign) == [True] * 4
    hits = [post.opened(), post.clicked()]
    assert post.db.write_now(post.cast.eve.id, tracking.record, hits) == [True, True]
    assert post.reasons() == []
    assert post.counted() == before


def test_an_account_that_tracks_nobody_keeps_nothing(post: Post) -> None:
    assert post.record(post.opened(), post.clicked(), opens=False, clicks=False) == [True, True]
    assert post.reasons() == []
    assert post.marks() == (None,) * 4
    assert post.numbers() == {}
    assert post.clicks_told() == []
    post.links = post.link("broadcast:999", URLS)
    assert post.record(post.clicked(), clicks=False) == [False]


def test_a_hit_of_a_mail_of_no_broadcast_is_kept_too(post: Post) -> None:
    post.delivery = post.send(post.cast.bea, "sequence-email:3:8")
    post.links = post.link("sequence-email:3", URLS)
    post.clock.move(HOUR)
    assert post.record(post.opened(), post.clicked()) == [True, True]
    assert post.marks() == (post.clock.now, post.clock.now, None, None)
    assert post.numbers() == {}


def test_two_processes_that_record_the_same_hits_count_each_person_once(
    post: Post, open_db: Callable[[], Database]
) -> None:
    sent = [post.send(post.cast.bea, f"{post.owner}:{n}") for n in range(12)]
    post.clock.move(HOUR)
    hits = [post.opened(one) for one in sent] + [
        Hit(one, post.cast.bea, post.clock.now, post.links[0]) for one in sent
    ]

    def record(db: Database, order: list[Hit]) -> None:
        for hit in order:
            db.write_now(post.account, tracking.record, [hit])

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(record, open_db(), order) for order in (hits, hits[::-1])]:
            done.result()
    assert post.numbers() == {"opens": 12, "clicks": 12, "total_clicks": 24}
    assert post.of_links()[0] == (24, 12, 0)
    assert len(post.clicks_told()) == 12


def test_folding_takes_old_hits_in_slices_and_leaves_the_numbers(post: Post) -> None:
    post.record(*(post.opened() for _ in range(7)), post.clicked())
    border = post.clock.now + 1
    post.clock.move(HOUR)
    post.record(post.opened())
    numbers, links = post.numbers(), post.of_links()
    assert [post.db.write_now(0, tracking.fold, border, 5) for _ in range(3)] == [5, 3, 0]
    assert len(post.reasons()) == 1
    assert (post.numbers(), post.of_links()) == (numbers, links)


def test_the_numbers_equal_what_the_rows_say_after_any_history(post: Post) -> None:
    chance = random.Random(7)
    post.links += post.link(post.owner, [tracking.HONEY_URL])
    post.clock.move(-HOUR)
    for _ in range(150):
        post.clock.move(chance.choice((0, 300, 900, 4_000, 60_000)))
        machine = chance.choice((None, None, None, machines.PROXY))
        on = chance.choice((None, 0, 0, 1, 2, 3))
        post.record(post.opened(machine=machine) if on is None else post.clicked(on, machine))
    for at, (clicks, unique, by_machine) in enumerate(post.of_links()):
        sql = (
            "SELECT COUNT(*) - COUNT(machine),"
            " COUNT(DISTINCT CASE WHEN machine IS NULL THEN delivery_id END),"
            " COUNT(machine) FROM hits WHERE link_id = :id"
        )
        assert rows(post.db, sql, id=post.links[at].id) == [(clicks, unique, by_machine)]
    people = rows(post.db, "SELECT COUNT(*) FROM hits WHERE link_id IS NOT NULL AND machine IS NULL")[0][0]
    marks = dict(zip(("opens", "clicks", "machine_opens", "machine_clicks"), post.marks(), strict=True))
    expected = {name: 1 for name, at in marks.items() if at is not None}
    assert post.numbers() == {**expected, **({"total_clicks": people} if people else {})}


def test_marks_say_who_won_and_look_without_writing(post: Post) -> None:
    def look(tx: object, keep: bool) -> tuple[list[tuple[str, int]], Mark]:
        mark = Mark(post.delivery, post.cast.bea, post.clock.now)
        return deliveries.mark_opened(tx, [mark], keep=keep), mark  # type: ignore[arg-type]

    won, mark = post.db.write_now(post.account, look, False)
    assert (won, mark.first) == ([], False)
    assert mark.reached is not None
    assert mark.reached.occasion == post.owner
    assert post.marks() == (None,) * 4
    won, mark = post.db.write_now(post.account, look, True)
    assert (won, mark.first) == ([(post.owner, post.cast.bea)], True)
    won, mark = post.db.write_now(post.account, look, True)
    assert (won, mark.first) == ([], False)
