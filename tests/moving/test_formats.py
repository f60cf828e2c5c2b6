"""Whose export a file is, and what becomes of its rows: one file made for each format."""

from pathlib import Path

import msgspec
import pytest

from tidings.core.events import Origin
from tidings.core.importing import Incoming
from tidings.core.importing.rows import begun
from tidings.moving import course, formats, stream
from tidings.moving.course import Wishes
from tidings.moving.formats import FIELD, Wrong
from tidings.moving.people import Meaning
from tidings.moving.stream import Read, Task

FILES = Path(__file__).parent / "files"
NOW = 1_785_585_600_000


def read(path: Path, wishes: Wishes | None = None, skip: int = 0) -> list[Read]:
    """Return what is read of a file, where every column that may be a field is one."""
    file = course.opened(str(path), wishes or Wishes())
    columns = zip(file.columns.labels, file.columns.roles, strict=True)
    ids = tuple(label if role == FIELD else "" for label, role in columns)
    ours = file.columns.format == "Tidings"
    meaning = Meaning(
        file.columns.roles,
        ids,
        file.columns.state,
        NOW,
        "",
        "surname",
        ours,
        {"city": "City"},
        {},
        file.columns.states,
    )
    found = stream.slices(Task(file.source, file.separator, meaning, skip, 1_000))
    return [msgspec.msgpack.decode(msgspec.msgpack.encode(part), type=Read) for part in found]


def fields(one: Incoming) -> dict[str, str]:
    """Return somebody's values by the labels of the columns."""
    found: dict[str, str] = msgspec.json.decode(one.fields)
    return found


def people(path: Path, wishes: Wishes | None = None) -> dict[str, Incoming]:
    return {one.email: one for part in read(path, wishes) for one in part.people}


@pytest.mark.parametrize(
    ("name", "format", "states"),
    (
        ("mailchimp", "Mailchimp", "bea active, cal active"),
        ("mailchimp_unsubscribed", "Mailchimp", "dee cancelled"),
        (
            "convertkit",
            "ConvertKit",
            "bea active, cal inactive, dee cancelled, eli bounced, fay complained, gus active",
        ),
        ("listmonk", "listmonk", "bea active, dee cancelled"),
        ("ghost", "Ghost", "bea active, dee cancelled"),
        ("beehiiv", "Beehiiv", "bea active, cal inactive, dee cancelled"),
        ("buttondown", "Buttondown", "bea active, cal inactive, dee cancelled"),
        ("tidings", "Tidings", "bea active, dee cancelled"),
    ),
)
def test_each_export_is_recognised_with_the_states_of_its_people(name: str, format: str, states: str) -> None:
    path = FILES / f"{name}.csv"
    assert course.opened(str(path), Wishes()).columns.format == format
    found = people(path)
    assert ", ".join(f"{email.partition('@')[0]} {one.state}" for email, one in found.items()) == states


@pytest.mark.parametrize(
    "name", ("mailchimp", "convertkit", "listmonk", "ghost", "beehiiv", "buttondown", "tidings")
)
def test_dates_are_kept(name: str) -> None:
    # 4 March 2021, 10:00 UTC
    assert people(FILES / f"{name}.csv")["bea@example.com"].created_at == 1_614_852_000_000


@pytest.mark.parametrize("name", ("mailchimp", "convertkit", "listmonk", "buttondown"))
def test_a_city_is_kept(name: str) -> None:
    assert fields(people(FILES / f"{name}.csv")["bea@example.com"])["City"] == "Winterfell"


@pytest.mark.parametrize("name", ("listmonk", "ghost", "mailchimp"))
def test_of_a_whole_name_the_rest_goes_to_the_last_name(name: str) -> None:
    bea = people(FILES / f"{name}.csv")["bea@example.com"]
    assert (bea.first_name, fields(bea)["surname"]) == ("Bea", "Snow")


def test_tags_with_commas_are_one_tag() -> None:
    (part,) = read(FILES / "mailchimp.csv")
    assert part.combos[part.things[0]] == (("tag", "customer"), ("tag", "early, bird"))


def test_what_proves_a_consent_is_kept() -> None:
    bea = people(FILES / "mailchimp.csv")["bea@example.com"]
    origin = msgspec.json.decode(begun("import 1 of x.csv") + bea.cause, type=Origin)
    assert origin == Origin(
        "command",
        "203.0.113.7",
        "import 1 of x.csv, line 2; since 2021-03-04 10:00:00, confirmed 2021-03-04 10:01:00",
    )
    assert bea.stated_at - bea.created_at == 60_000


def test_our_own_export_loses_its_apostrophes() -> None:
    found = people(FILES / "tidings.csv")
    assert found["bea@example.com"].first_name == "=Bea"
    assert fields(found["dee@example.com"])["city"] == "'twas"


def test_another_table_is_read_by_mapping(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("Adresse;Vorname;Ort;Weg\nbea@example.com;Bea;Bremen;1\n")
    with pytest.raises(Wrong, match="--map COLUMN=email"):
        people(path)
    mapped = Wishes(mapped={"adresse": "email", "Vorname": "first_name", "Weg": "-"})
    bea = people(path, mapped)["bea@example.com"]
    assert (bea.first_name, fields(bea)) == ("Bea", {"Ort": "Bremen"})
    with pytest.raises(Wrong, match="no column 'nowhere'"):
        people(path, Wishes(mapped={"nowhere": "email"}))


def test_a_state_that_nobody_knows_makes_nobody_active(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("email,state\nbea@example.com,perhaps\ncal@example.com,\n")
    (part,) = read(path)
    assert [one.email for one in part.people] == ["cal@example.com"]
    assert "perhaps" in part.rejected[0].reason


def test_two_records_of_one_person_are_one(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(
        "email,first_name,state,tags\nBea@example.com,,active,a\nbea@EXAMPLE.com,Bea,cancelled,b\n"
    )
    (part,) = read(path)
    (bea,) = part.people
    assert (bea.first_name, bea.state, part.repeated, part.until) == ("Bea", "cancelled", 1, 2)
    assert part.combos[part.things[0]] == (("tag", "a"), ("tag", "b"))


def test_people_come_in_the_order_of_their_addresses_window_by_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "WINDOW_MIN", 1_500)
    monkeypatch.setattr(stream, "WINDOW", 4_000)
    path = tmp_path / "x.csv"
    numbers = [n * 7_919 % 10_007 for n in range(9_500)]
    path.write_text("email\n" + "".join(f"p{n}@example.com\n" for n in numbers))
    parts = read(path)
    ends = [part.until for part in parts if part.last]
    assert ends == [1_500, 3_000, 6_000, 9_500]
    assert [part.end for part in parts] == [False] * (len(parts) - 1) + [True]
    for first, end in zip([0, *ends], ends, strict=False):
        keys = [one.key for part in parts if part.until == end for one in part.people]
        assert keys == sorted(f"p{n}@example.com" for n in numbers[first:end])
        # Who goes on with a window finds it again.
        assert read(path, skip=first) == [part for part in parts if part.until >= end]


def test_every_word_for_a_state_is_one_of_ours() -> None:
    assert set(formats.STATES.values()) == {"active", "inactive", "cancelled", "bounced", "complained"}
