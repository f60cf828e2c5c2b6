"""Pages of moving in: a file is sent, mapped, counted, brought in; and every way in which it is refused."""

import asyncio
import csv
import gzip
import html
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.doors import Rooms, ask, rooms
from tests.web.owners import Browser
from tests.web.uploading import cut, multipart, send
from tidings.core import importing, uploads
from tidings.core.uploads import BYTES_MAX, Upload
from tidings.engine.uploads import Uploads
from tidings.moving import uploaded
from tidings.web.dashboard.moving.importing import CONSENT
from tidings.web.http import ClientGone

FILE = b"email,First name,City,tags\nann@new.example,Ann,Bremen,vip\nwrong,=X,,\nbob@new.example,Bob,Rome,\n"
PATH = "/subscribers/import"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Rooms]:
    with rooms(tmp_path) as made:
        yield made


@pytest.fixture
def ada(here: Rooms) -> Browser:
    return Browser(here)


@pytest.fixture
def engine(here: Rooms, tmp_path: Path) -> Uploads:
    return Uploads(here.db, uploaded, str(tmp_path))


def work(engine: Uploads) -> None:
    async def all_of_it() -> None:
        while await engine.look() or await engine.bring():
            pass

    asyncio.run(all_of_it())


def sent(who: Browser, data: bytes = FILE, name: str = "people.csv") -> str:
    """Send a file; return the address of its page."""
    answer = send(who, PATH, [multipart(data, seal=who.seal, name=name)])
    assert answer is not None
    assert answer.status == 303, answer.text
    return answer.headers["location"]


def columns(**more: str) -> dict[str, str]:
    return {"c1": "email", "c2": "first_name", "c3": "field:City", "c4": "tags", "state": "", **more}


def counted(who: Browser, engine: Uploads, **more: str) -> str:
    """Have a file sent and counted; return the address of its page."""
    place = sent(who)
    work(engine)
    assert who.post(f"{place}/check", columns(**more)).headers["location"] == place
    work(engine)
    return place


def text(page: str) -> str:
    """Return a page as a person reads it."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def one(here: Rooms) -> Upload:
    return here.db.read_now(here.account_id, uploads.latest)[0]


def test_from_a_file_to_its_summary(here: Rooms, ada: Browser, engine: Uploads) -> None:
    place = sent(ada)
    assert "Looking at the file" in ada.get(place).text
    work(engine)
    page = ada.get(place).text
    assert "A table, 4 columns, utf-8" in text(page)
    assert '<option value="email" selected>Email address</option>' in page
    assert '<option value="field:City" selected>New field: City</option>' in page
    assert "an address is one name, one @ and one domain" in page
    checked = ada.post(f"{place}/check", columns(tags="moved, Newsletter", fields="1"))
    assert checked.headers["location"] == place
    assert "Counting" in ada.get(place).text
    work(engine)
    shown = text(ada.get(place).text)
    for said in ("New people 2", "Already here 0", "Rejected 1", "New tags: Newsletter, moved, vip",
                 "New custom fields: City", "Import 2 people", CONSENT):  # fmt: skip
        assert said in shown
    assert here.person("ann@new.example") is None
    begun = ada.post(f"{place}/start", {"consent": "1"})
    assert begun.headers["location"] == place
    work(engine)
    shown = text(ada.get(place).text)
    for said in ("New people 2", "Rejected 1", CONSENT, "ada@example.com", "Download the rejected lines"):
        assert said in shown
    # What another process has made is known within a second.
    here.now += 1_001
    ann = here.person("ann@new.example")
    assert ann is not None
    assert (ann.first_name, ann.fields) == ("Ann", {"city": "Bremen"})
    answer = ada.get(f"{place}/refused")
    assert answer.headers["content-disposition"] == 'attachment; filename="rejected-1.csv"'
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert rows[0] == ["record", "line", "reason"]
    assert rows[1] == ["2", "3", "an address is one name, one @ and one domain", "wrong", "'=X", "", ""]
    acts = {row[0] for row in here.rows("SELECT act FROM audit")}
    assert {"import.send", "import.check", "import.start"} <= acts


def test_without_a_consent_nothing_begins_and_it_is_told_beside_the_box(
    here: Rooms, ada: Browser, engine: Uploads
) -> None:
    place = counted(ada, engine)
    answer = ada.post(f"{place}/start")
    assert answer.status == 422
    assert 'id="consent-wrong">Tick this first' in answer.text
    work(engine)
    assert one(here).state == "counted"


def test_a_mapping_without_an_address_is_told(ada: Browser, engine: Uploads) -> None:
    place = sent(ada)
    work(engine)
    answer = ada.post(f"{place}/check", columns(c1="-"))
    assert answer.status == 422
    assert "Say which column holds the email address." in answer.text
    # What was chosen stands there still.
    assert re.search(r'id="c1".*?<option value="-" selected>', answer.text, re.DOTALL)


@pytest.mark.parametrize(
    ("given", "said"),
    (
        ({"state": "dead"}, "Choose one of the options."),
        ({"form": "999"}, "This form is not there any more."),
        ({"tags": ",".join(map(str, range(21)))}, "At most 20 tags"),
        ({"tags": "x" * 300}, "must be names of at most 255 characters"),
        ({"c2": "y" * 400}, "longer than 255"),
    ),
)
def test_a_wrong_wish_is_told(ada: Browser, engine: Uploads, given: dict[str, str], said: str) -> None:
    place = sent(ada)
    work(engine)
    answer = ada.post(f"{place}/check", columns(**given))
    assert answer.status == 422
    assert said in answer.text


def test_the_mapping_can_be_changed_after_it_was_counted(here: Rooms, ada: Browser, engine: Uploads) -> None:
    form = here.form("Welcome")
    place = counted(ada, engine, tags="moved", form=str(form.id), state="inactive")
    page = ada.get(f"{place}?map=1").text
    assert 'value="moved"' in page
    assert f'<option value="{form.id}" selected>Welcome</option>' in page
    assert '<option value="inactive" selected>' in page
    assert 'name="fields" value="1"' in page
    assert 'name="fields" value="1" checked' not in page
    assert ada.post(f"{place}/check", columns(c3="-")).status == 303
    work(engine)
    assert "City" not in text(ada.get(place).text)


def test_while_it_works_a_script_gets_a_part_and_then_the_page(ada: Browser, engine: Uploads) -> None:
    place = sent(ada)
    headers = {**ada.headers, "hx-request": "true"}
    part = ask(ada.door, "GET", place, headers=headers).text
    assert "Looking at the file" in part
    assert "<html" not in part
    work(engine)
    assert ask(ada.door, "GET", place, headers=headers).headers["hx-redirect"] == place


def test_stopped_by_a_press_the_file_goes(here: Rooms, ada: Browser, engine: Uploads) -> None:
    place = counted(ada, engine)
    assert "Given up. The file is deleted." in ada.follow(ada.post(f"{place}/cancel"))
    work(engine)
    assert here.rows("SELECT COUNT(*) FROM upload_chunks") == [(0,)]
    assert "It had ended already." not in ada.follow(ada.post(f"{place}/cancel"))
    assert ada.post(f"{place}/start", {"consent": "1"}).status == 303
    assert one(here).state == "cancelled"


def test_the_list_shows_imports_of_the_command_line_too(here: Rooms, ada: Browser, engine: Uploads) -> None:
    here.db.write_now(here.account_id, importing.begin, "typed.csv", "digest", "{}")
    sent(ada, name="<b>bold</b>.csv")
    page = ada.get(PATH).text
    assert "typed.csv" in page
    assert "by command" in page
    assert "&lt;b&gt;bold&lt;/b&gt;.csv" in page or "b&gt;.csv" in page


@pytest.mark.parametrize("size", (1_000, 65_536))
def test_a_large_file_comes_in_piece_by_piece(here: Rooms, ada: Browser, engine: Uploads, size: int) -> None:
    data = b"email\n" + b"".join(b"p%d@example.com\n" % n for n in range(40_000))
    answer = send(ada, PATH, cut(multipart(data, seal=ada.seal), size))
    assert answer is not None
    assert answer.status == 303
    assert (one(here).bytes, one(here).chunks) == (len(data), 3)
    work(engine)
    assert one(here).state == "read"


def _unsealed(who: Browser) -> list[bytes]:
    return [multipart(FILE, seal="0" * 64)]


def _none(who: Browser) -> list[bytes]:
    return [multipart(b"", seal=who.seal, name="")]


def _empty(who: Browser) -> list[bytes]:
    return [multipart(b"", seal=who.seal)]


def _odd(who: Browser) -> list[bytes]:
    return [b"\0" * 300_000]


def _half(who: Browser) -> list[bytes]:
    return [multipart(FILE, seal=who.seal)[:-50]]


@pytest.mark.parametrize(
    ("make", "status", "said"),
    (
        (_unsealed, 403, "nothing was kept"),
        (_none, 422, "choose one first"),
        (_empty, 422, "File is empty."),
        (_odd, 403, "nothing was kept"),
        (_half, 422, "did not arrive whole"),
    ),
)
def test_a_form_that_is_none_is_refused_and_nothing_is_kept(
    here: Rooms, ada: Browser, engine: Uploads, make: object, status: int, said: str
) -> None:
    assert callable(make)
    answer = send(ada, PATH, make(ada))
    assert answer is not None
    assert answer.status == status
    assert said in html.unescape(answer.text)
    work(engine)
    assert here.rows("SELECT COUNT(*) FROM upload_chunks") == [(0,)]


def test_another_kind_of_body_is_refused(ada: Browser) -> None:
    answer = send(ada, PATH, [FILE], kind="text/csv")
    assert answer is not None
    assert answer.status == 403


def test_two_hundred_megabytes_and_more_are_refused_before_they_are_read(here: Rooms, ada: Browser) -> None:
    answer = send(ada, PATH, iter(()), length=BYTES_MAX + 10**6)
    assert answer is not None
    assert answer.status == 422
    assert "larger than 200 MB" in answer.text
    assert here.rows("SELECT COUNT(*) FROM uploads") == [(0,)]


def test_more_than_was_announced_is_refused_on_the_way(
    here: Rooms, ada: Browser, engine: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidings.web.dashboard.moving.arriving.BYTES_MAX", 1_000_000)
    head = multipart(b"", seal=ada.seal, end=b"")[: -len(b"\r\n------tidings7MA4YWxk")]
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        yield head
        while True:
            taken += 1
            yield b"x" * 65_536

    answer = send(ada, PATH, endless())
    assert answer is not None
    assert answer.status == 422
    assert "Pack it with gzip" in answer.text
    assert taken < 25
    work(engine)
    assert here.rows("SELECT COUNT(*) FROM upload_chunks") == [(0,)]


def test_a_connection_that_is_cut_leaves_nothing(here: Rooms, ada: Browser, engine: Uploads) -> None:
    with pytest.raises(ClientGone):
        send(ada, PATH, cut(multipart(FILE * 50_000, seal=ada.seal), 65_536)[:20], breaks=True)
    assert one(here).state == "cancelled"
    work(engine)
    assert here.rows("SELECT COUNT(*) FROM upload_chunks") == [(0,)]


@pytest.mark.parametrize(
    ("data", "said"),
    (
        (b"email\na\0b\n", "NUL"),
        (b"email" + b"," * 100_000, "100,001 columns"),
        (b"PK\x03\x04", "zip archive"),
        (gzip.compress(FILE, mtime=0)[:-9], "damaged"),
        (b"email\n\xff\xfe\x00", "NUL"),
    ),
)
def test_a_hostile_file_ends_in_a_plain_sentence(
    ada: Browser, engine: Uploads, data: bytes, said: str
) -> None:
    place = sent(ada, data)
    work(engine)
    answer = ada.get(place)
    assert answer.status == 200
    assert said in answer.text


def test_script_in_a_file_is_text(ada: Browser, engine: Uploads) -> None:
    evil = "<script>alert(1)</script>"
    place = sent(ada, f'email,{evil},"""onload=x"\nann@new.example,{evil},{evil}\n{evil},,\n'.encode())
    work(engine)
    page = ada.get(place).text
    assert evil not in page
    assert "&lt;script&gt;" in page
    ada.post(f"{place}/check", {"c1": "email", "c2": "field:" + evil, "c3": "tags", "fields": "1"})
    work(engine)
    assert evil not in ada.get(place).text


def test_too_many_files_are_told(ada: Browser) -> None:
    for _ in range(uploads.OPEN_MAX):
        sent(ada)
    answer = send(ada, PATH, [multipart(FILE, seal=ada.seal)])
    assert answer is not None
    assert answer.status == 422
    assert "3 files are here already" in answer.text


def test_a_disk_that_is_nearly_full_takes_no_file(here: Rooms, ada: Browser) -> None:
    here.house.free_space = 10**18
    answer = send(ada, PATH, [multipart(FILE, seal=ada.seal)])
    assert answer is not None
    assert answer.status == 422
    assert "The disk is nearly full" in answer.text
    assert here.rows("SELECT COUNT(*) FROM uploads") == [(0,)]


def test_who_may_only_look_sends_and_starts_nothing(here: Rooms, ada: Browser, engine: Uploads) -> None:
    place = counted(ada, engine)
    vera = Browser(here, "vera@example.com", "viewer")
    assert "New people" in vera.get(place).text
    assert "<form" not in vera.get(PATH).text.partition("<main")[2]
    for path in (f"{place}/start", f"{place}/check", f"{place}/cancel"):
        assert vera.post(path, {"consent": "1"}).status == 403
    answer = send(vera, PATH, [multipart(FILE, seal=vera.seal)])
    assert answer is not None
    assert answer.status == 403
    assert vera.get(f"{place}/refused").status == 403


def test_another_accounts_upload_is_not_found(here: Rooms, ada: Browser, engine: Uploads) -> None:
    place = counted(ada, engine)
    eve = Browser(here, account_id=here.account("Eve's", "eve@example.com"))
    for path in (place, f"{place}/refused"):
        assert eve.get(path).status == 404
    for path in ("start", "check", "cancel"):
        assert eve.post(f"{place}/{path}", {"consent": "1"}).status == 404
