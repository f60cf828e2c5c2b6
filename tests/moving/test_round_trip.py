"""What is exported is read in again: into the same account it changes nothing, another has the same."""

import csv
import io
import uuid
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.core.cast import NOON, Cast, Owner, join
from tests.core.recount import recount
from tidings.core import exporting, subscribers, subscriptions
from tidings.core.importing import Tally
from tidings.core.signup import Also
from tidings.moving import course, outward
from tidings.moving.course import Wishes
from tidings.moving.outward import Wanted
from tidings.moving.people import guarded, plain
from tidings.store.db import Database

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
CELLS = st.one_of(
    TEXT, st.sampled_from(["=1+1", "'=x", "''", '"', "-", "+49 1", "@x", "\t=", "a,b;c|d", "a\nb"])
)
PEOPLE = st.lists(
    st.tuples(st.integers(0, 15), CELLS, CELLS, st.sampled_from(subscribers.STATES), st.booleans()),
    max_size=20,
)


def export(db: Database, owner: Owner, wanted: Wanted | None = None) -> str:
    to = io.StringIO(newline="")
    outward.as_csv(db, owner.id, wanted or Wanted(), to)
    return to.getvalue()


def bring(db: Database, owner: Owner, path: Path, wishes: Wishes | None = None) -> Tally:
    file = course.opened(str(path), wishes or Wishes())
    one, unknown = course.run(db, owner.id, file, wishes or Wishes(), lambda *_: None)
    assert unknown == set()
    return one.tally


def seen(db: Database, owner: Owner) -> dict[str, object]:
    """Return all that an export says of people, but for what is called otherwise elsewhere."""
    return {
        one.email: (
            one.first_name,
            one.state,
            one.created_at,
            one.state_at,
            [*filter(None, one.fields.values())],
            len(one.tags),
        )
        for one in db.read_now(owner.id, exporting.people, 0)
    }


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(people=PEOPLE)
def test_what_is_exported_is_read_back(
    db: Database, tmp_path: Path, cast: Cast, people: list[tuple[int, str, str, str, bool]]
) -> None:
    db.pepper = b"k" * 32
    ada, eve = cast.ada, cast.eve
    marked = uuid.uuid4().hex
    for number, name, value, state, tagged in people:
        also = Also(tags=[ada.tag, ada.vip]) if tagged else Also()
        _, who = join(db, ada, "form", ada.plain, f"+p{number}@{marked}.example", name, {"city": value}, also)
        if state != who.state and who.state == "active":
            db.write_now(ada.id, subscriptions.turn, who, state)
    text = export(db, ada)
    path = tmp_path / "people.csv"
    path.write_bytes(text.encode())
    same = bring(db, ada, path)
    assert (same.made, same.changed, same.rejected) == (0, 0, 0)
    assert export(db, ada) == text
    bring(db, eve, path)
    theirs = seen(db, eve)
    assert {email: said for email, said in theirs.items() if email in seen(db, ada)} == seen(db, ada)
    recount(db)


@given(cell=CELLS)
def test_no_cell_begins_as_a_formula_and_each_is_undone(cell: str) -> None:
    shown = guarded(cell)
    assert plain(shown) == cell
    assert shown[:1] not in ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠") or not shown


def test_no_name_of_an_export_can_be_run(db: Database, cast: Cast) -> None:
    ada = cast.ada
    join(db, ada, "form", ada.plain, "=cmd@example.com", '=HYPERLINK("x")', {"city": "@SUM(A1)"})
    for row in csv.reader(io.StringIO(export(db, ada))):
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row)


def test_an_export_can_be_about_some(db: Database, cast: Cast) -> None:
    ada = cast.ada
    join(db, ada, "tag", ada.vip, "bea@example.com")
    assert len(export(db, ada).splitlines()) == 4
    for wanted in (Wanted(tags=frozenset([ada.vip])), Wanted(state="active")):
        assert [line.split(",")[1] for line in export(db, ada, wanted).splitlines()[1:]] == [
            "bea@example.com"
        ]
    assert len(export(db, ada, Wanted(forms=frozenset([ada.plain]))).splitlines()) == 3


def test_all_of_an_account_holds_no_secret(db: Database, cast: Cast) -> None:
    ada = cast.ada
    to = io.StringIO()
    outward.as_lines(db, ada.id, Wanted(), to, whole=True)
    text = to.getvalue()
    assert ada.api_secret not in text
    assert ada.api_key not in text
    assert [
        kind
        for kind in ("custom_field", "tag", "form", "sequence", "subscriber")
        if f'"kind":"{kind}"' in text
    ]


def test_a_time_is_text_to_the_millisecond() -> None:
    assert outward.when(NOON + 7) == "2026-08-01T12:00:00.007Z"
