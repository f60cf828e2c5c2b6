"""One file of a posted form, piece by piece: whatever way it is cut it is the same, and hostile ones end."""

import asyncio
import random
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.web.uploading import BOUNDARY, cut, multipart, sizes
from tidings.web.dashboard.multipart import AROUND_MAX, FIELD_MAX, FIELDS_MAX, Parts
from tidings.web.http import ClientGone, TooLarge
from tidings.web.params import BadBody

KIND = f"multipart/form-data; boundary={BOUNDARY}"
MARK = f"\r\n--{BOUNDARY}".encode()
FILE = b'\r\nContent-Disposition: form-data; name="file"; filename="x.csv"\r\n\r\n'


def read(
    pieces: Iterable[bytes], *, most: int = 10**9, size: int = 10, kind: str = KIND, breaks: bool = False
) -> tuple[dict[str, str], str, list[bytes]]:
    """Return the fields, the name and the pieces of a form."""
    waiting = iter(pieces)

    async def receive() -> dict[str, Any]:
        piece = next(waiting, None)
        if piece is not None:
            return {"type": "http.request", "body": piece, "more_body": True}
        return {"type": "http.disconnect"} if breaks else {"type": "http.request", "more_body": False}

    async def whole() -> tuple[dict[str, str], str, list[bytes]]:
        parts = Parts(receive, [(b"content-type", kind.encode())], most=most, size=size)
        fields, name = await parts.begin()
        return fields, name, [piece async for piece in parts.pieces()] if name else []

    return asyncio.run(whole())


@pytest.mark.parametrize("size", sizes())
def test_a_file_is_the_same_however_it_is_cut(size: int) -> None:
    data = b"email\r\n--\r\n" + MARK[:-1] + b"x\r\n" + bytes(range(256)) * 3
    fields, name, pieces = read(cut(multipart(data, seal="s", name="Zoë %22.csv"), size))
    assert (fields, name) == ({"seal": "s"}, 'Zoë ".csv')
    assert b"".join(pieces) == data
    assert {len(piece) for piece in pieces[:-1]} == {10}


@settings(max_examples=200)
@given(st.lists(st.sampled_from((MARK, MARK[:5], b"\r\n", b"--", b"x", b"\r", b"\n-"))), st.integers(1, 30))
def test_what_looks_like_a_mark_belongs_to_the_file(words: list[bytes], size: int) -> None:
    data = b"".join(words)
    found = b"".join(read(cut(multipart(data), size))[2])
    # It ends at the first mark, as it must.
    assert found == (data + MARK).split(MARK)[0]


def test_an_empty_file_and_none_at_all() -> None:
    assert read([multipart(b"")]) == ({"seal": ""}, "people.csv", [])
    assert read([multipart(b"", name="")])[1] == ""
    assert read([b"--" + BOUNDARY.encode() + b"--\r\n"]) == ({}, "", [])


def test_what_stands_after_the_file_is_dropped() -> None:
    more = b'\r\nContent-Disposition: form-data; name="z"\r\n\r\nzz' + MARK + b"--\r\n"
    assert read([multipart(b"abc", end=b"") + more])[2] == [b"abc"]
    with pytest.raises(BadBody, match="more after its file"):
        read([multipart(b"abc", end=b""), *([b"x" * 10_000] * 20)])


def test_more_than_is_allowed_is_not_read() -> None:
    taken = 0

    def endless() -> Iterable[bytes]:
        nonlocal taken
        yield multipart(b"", end=b"")[: -len(MARK)]
        while True:
            taken += 1
            yield b"x" * 1_000

    with pytest.raises(TooLarge):
        read(endless(), most=50_000)
    assert taken < 55


@pytest.mark.parametrize(
    "pieces",
    (
        [b"x" * (AROUND_MAX + 100)],
        [b"\0" * 1_000_000],
        [b"--" + BOUNDARY.encode() + b"\r\n" + b"X: y\r\n" * 1_000],
        [b"--" + BOUNDARY.encode() + b'\r\nC: form-data; name="a"\r\n\r\n' + b"x" * (FIELD_MAX + 100)],
        [
            b"--" + BOUNDARY.encode(),
            *(b'\r\nC: form-data; name="a%d"\r\n\r\n' % n + MARK for n in range(FIELDS_MAX + 1)),
        ],
        [multipart(b"abc")[:-60]],
        [b""],
        [b"--" + BOUNDARY.encode() + b"x"],
    ),
)
def test_what_is_no_such_form_is_refused_with_a_sentence(pieces: list[bytes]) -> None:
    with pytest.raises(BadBody) as refused:
        read(pieces)
    assert refused.value.message[0].isupper()


@pytest.mark.parametrize(
    "kind", ("text/csv", "multipart/form-data", f"multipart/form-data; boundary={'b' * 71}")
)
def test_another_kind_of_body_is_refused(kind: str) -> None:
    with pytest.raises(BadBody):
        read([multipart(b"abc")], kind=kind)


@pytest.mark.parametrize("kept", (0, 30, 200, 320))
def test_a_connection_that_is_cut_raises(kept: int) -> None:
    with pytest.raises(ClientGone):
        read([multipart(b"email\n" * 100)[:kept]], breaks=True)


def test_random_bytes_end() -> None:
    chance = random.Random(11)
    words = (MARK, FILE, b"\r\n\r\n", b"--", b'name="a"', b"\r\n", b"\0\xff")
    for _ in range(500):
        body = b"".join(chance.choice(words) for _ in range(chance.randrange(12)))
        try:
            read(cut(body, chance.randrange(1, 40)))
        except (BadBody, ClientGone):
            continue
