"""Files that mean harm end with a sentence, in bounded memory; odd ones are read."""

import gzip
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.moving.test_formats import fields, people, read
from tidings.moving import course, reading, source, stream
from tidings.moving.course import Wishes
from tidings.moving.people import Meaning
from tidings.moving.source import Source, Unreadable
from tidings.moving.stream import Task

HEADER = b"email,first_name\n"
TEXT = "email,first_name\nbea@example.com,Zoë\ncal@example.com,Cal\n"


@pytest.mark.parametrize("encoding", ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"))
@pytest.mark.parametrize("separator", (",", ";", "\t", "|"))
@pytest.mark.parametrize("packed", (False, True))
def test_any_encoding_separator_and_packing_is_read(
    tmp_path: Path, encoding: str, separator: str, packed: bool
) -> None:
    raw = TEXT.replace(",", separator).encode(encoding)
    path = tmp_path / "x.csv"
    path.write_bytes(gzip.compress(raw) if packed else raw)
    assert {one.first_name for one in people(path).values()} == {"Zoë", "Cal"}


@pytest.mark.parametrize("ends", ("\n", "\r\n", "\r"))
def test_line_breaks_within_quotes_belong_to_the_value(tmp_path: Path, ends: str) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(f'email,note{ends}bea@example.com,"a{ends}""b"""{ends}cal@example.com,c'.encode())
    found = people(path)
    assert fields(found["bea@example.com"]) == {"note": f'a{ends}"b"'.replace("\r", "")}
    assert found["cal@example.com"].line == 4


def _quoted() -> Iterator[bytes]:
    yield HEADER + b'bea@example.com,"'
    for _ in range(200):
        yield b"x" * 999_999 + b"\n"


def _wide() -> Iterator[bytes]:
    yield HEADER + b"bea@example.com" + b"," * 100_000


def _long() -> Iterator[bytes]:
    yield HEADER
    for _ in range(50):
        yield b"x" * 1_000_000


def _many_in_one() -> Iterator[bytes]:
    yield HEADER + b"bea@example.com"
    for _ in range(100):
        yield b',"' + b"x" * 100_000 + b'\n"'


@pytest.mark.parametrize(
    ("make", "sentence"),
    (
        (_quoted, "quotation mark missing"),
        (_wide, "100,001 columns"),
        (_long, "line 2 is longer than 1 MiB"),
        (_many_in_one, "quotation mark missing"),
        (lambda: [HEADER, b"bea@example.com,a\0b\n"], "NUL"),
        (lambda: [b"PK\x03\x04rest"], "zip archive"),
        (lambda: [b""], "empty"),
        (lambda: [gzip.compress(HEADER + b"a@example.com,\n" * 9_000)[:-9]], "damaged"),
    ),
)
def test_a_hostile_file_ends_with_a_sentence(tmp_path: Path, make: object, sentence: str) -> None:
    path = tmp_path / "x.csv"
    with path.open("wb") as file:
        file.writelines(make())  # type: ignore[operator]
    with pytest.raises(Unreadable, match=sentence):
        read(path)


def test_a_file_that_unpacks_without_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "RATIO_FROM", 1_000_000)
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(HEADER + b"\n" * 20_000_000))
    with pytest.raises(Unreadable, match="300 times its size"):
        read(path)


def test_two_hundred_megabytes_in_quotes_stay_out_of_memory(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    with path.open("wb") as file:
        file.writelines(_quoted())
    meaning = Meaning(("email", "first_name"), ("", ""), "active", 0)
    task = Task(Source(str(path), False, "utf-8", "", 1), ",", meaning, 0, 1_000)
    # Not getrusage: what it says is of the process before exec too, which is these tests.
    code = (
        "import sys; from tidings.moving import stream;"
        " stream.run(sys.stdin.buffer, sys.stdout.buffer);"
        "print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=msgspec.json.encode(task), capture_output=True, check=True
    )
    end = msgspec.msgpack.decode(done.stdout[stream.LENGTH.size :], type=stream.Read)
    assert "quotation mark missing" in end.problem
    assert int(done.stderr) < 200_000, "kB"


def test_a_reading_process_that_dies_is_no_end_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.csv"
    path.write_text(TEXT)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    file = course.opened(str(path), Wishes())
    task = Task(file.source, ",", Meaning(file.columns.roles, ("", ""), "active", 0), 0, 1_000)
    with pytest.raises((Unreadable, BrokenPipeError)):
        list(reading.reading(task))
