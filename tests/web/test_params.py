"""Parameters: every source, every bracket key, every hostile body."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.web import params
from tidings.web.params import BadBody

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = 'multipart/form-data; boundary="xyz"'


def query(source: str) -> dict[str, object]:
    return params.decode(source.encode(), "", b"")


def form(source: bytes) -> dict[str, object]:
    return params.decode(b"", FORM, source)


def json(source: bytes, content_type: str = JSON) -> dict[str, object]:
    return params.decode(b"", content_type, source)


def refusal(content_type: str, body: bytes) -> str:
    with pytest.raises(BadBody) as refused:
        params.decode(b"", content_type, body)
    return refused.value.message


# Sources


def test_the_body_wins_over_the_query() -> None:
    assert params.decode(b"a=1&b=2", JSON, b'{"b":3,"c":4}') == {"a": "1", "b": 3, "c": 4}
    assert params.decode(b"a=1&b=2", FORM, b"b=3&c=4") == {"a": "1", "b": "3", "c": "4"}


def test_a_body_replaces_a_whole_object_of_the_query() -> None:
    assert params.decode(b"fields[a]=1", JSON, b'{"fields":{"b":2}}') == {"fields": {"b": 2}}


@pytest.mark.parametrize("content_type", ("", FORM, "text/plain", "application/vnd.api+json", JSON))
@pytest.mark.parametrize("start", (b"", b" \r\n\t", b"\xef\xbb\xbf"))
def test_json_is_recognised_by_its_content(content_type: str, start: bytes) -> None:
    assert json(start + b'{"a": [1, "2"]}\n', content_type) == {"a": [1, "2"]}


@pytest.mark.parametrize("body", (b"[]", b"null", b"", b'"text"', b"5", b"true", b"[1,2]", b" \n", b"-0.5"))
@pytest.mark.parametrize("content_type", (JSON, "application/json;charset=utf-8"))
def test_a_body_that_is_no_object_is_an_empty_map(body: bytes, content_type: str) -> None:
    assert json(body, content_type) == {}


def test_a_null_in_json_is_absent_and_lets_the_query_through() -> None:
    assert json(b'{"email":null,"a":1}') == {"a": 1}
    assert params.decode(b"email=q", JSON, b'{"email":null}') == {"email": "q"}


def test_the_last_of_duplicate_json_keys_wins() -> None:
    assert json(b'{"a":1,"a":2}') == {"a": 2}


def test_numbers_of_64_bits_and_more_are_kept_exactly() -> None:
    assert json(b'{"id":6204968295,"big":123456789012345678901234567890}') == {
        "id": 6204968295,
        "big": 123456789012345678901234567890,
    }


# Bracket keys


@pytest.mark.parametrize(
    ("source", "expected"),
    (
        ("tag[name]=a", {"tag": {"name": "a"}}),
        ("tag[][name]=a&tag[][name]=b", {"tag": [{"name": "a"}, {"name": "b"}]}),
        ("tag[][name]=a&tag[][color]=x&tag[][name]=b", {"tag": [{"name": "a", "color": "x"}, {"name": "b"}]}),
        ("tag[0][name]=a&tag[1][name]=b", {"tag": [{"name": "a"}, {"name": "b"}]}),
        (
            "tag[10][name]=c&tag[9][name]=b&tag[0][name]=a",
            {"tag": [{"name": "a"}, {"name": "b"}, {"name": "c"}]},
        ),
        ("event[name]=e&event[tag_id]=5", {"event": {"name": "e", "tag_id": "5"}}),
        ("fields[last_name]=B&fields[city]=C", {"fields": {"last_name": "B", "city": "C"}}),
        ("tags[]=1&tags[]=2", {"tags": ["1", "2"]}),
        ("label[]=A&label[]=B", {"label": ["A", "B"]}),
        ("tag%5Bname%5D=a", {"tag": {"name": "a"}}),
        ("p[][a][b]=1&p[][a][c]=2&p[][a][b]=3", {"p": [{"a": {"b": "1", "c": "2"}}, {"a": {"b": "3"}}]}),
        ("p[][ids][]=1&p[][ids][]=2", {"p": [{"ids": ["1", "2"]}]}),
        ("p[products][0][sku]=x", {"p": {"products": [{"sku": "x"}]}}),
        ("a[1]=x&a[b]=y", {"a": {"1": "x", "b": "y"}}),
    ),
)
def test_bracket_keys_read_as_rails_reads_them(source: str, expected: object) -> None:
    assert query(source) == expected
    assert form(source.encode()) == expected


def test_sparse_and_huge_indices_close_up() -> None:
    assert query(f"a[{'9' * 6000}]=z&a[007]=b&a[3]=a") == {"a": ["a", "b", "z"]}


def test_a_key_without_an_equals_sign_is_absent() -> None:
    assert query("email=a&fields&first_name&tags&=x&&") == {"email": "a"}
    assert query("a=1&a") == {"a": "1"}


def test_a_key_with_an_empty_value_is_present() -> None:
    assert query("a=&b[]=") == {"a": "", "b": [""]}


@pytest.mark.parametrize(
    ("source", "expected"),
    (
        ("a=1&a=2", {"a": "2"}),
        ("a=1&a[b]=2", {"a": {"b": "2"}}),
        ("a[b]=2&a=1", {"a": "1"}),
        ("a[]=1&a[b]=2", {"a": {"b": "2"}}),
        ("a[b]=1&a[]=2", {"a": ["2"]}),
        ("a[b]=1&a[b][c]=2", {"a": {"b": {"c": "2"}}}),
        ("a[]=1&a[][b]=2", {"a": ["1", {"b": "2"}]}),
    ),
)
def test_of_conflicting_shapes_the_last_wins(source: str, expected: object) -> None:
    assert query(source) == expected


@pytest.mark.parametrize("key", ("a[b", "a]", "[a]", "[]", "a[b]c", "a[b[c]]", "]["))
def test_unbalanced_brackets_are_kept_as_a_plain_key(key: str) -> None:
    assert query(f"{key}=1") == {key: "1"}


def test_plus_percent_and_odd_bytes_are_decoded() -> None:
    assert query("a=b+c%20d%2B&e=%C3%A9&f=%zz&g=%") == {"a": "b c d+", "e": "é", "f": "%zz", "g": "%"}
    assert query("a=%FF%C3") == {"a": "\ufffd\ufffd"}
    assert query("a=%ED%A0%80")["a"] == "\ufffd\ufffd\ufffd"
    assert query("a=x%00y") == {"a": "x\0y"}
    assert params.decode(b"a=\xff", "", b"") == {"a": "\ufffd"}


# Multipart


def part(name: bytes, value: bytes, more: bytes = b"") -> bytes:
    head = b'--xyz\r\nContent-Disposition: form-data; name="' + name + b'"' + more
    return head + b"\r\n\r\n" + value + b"\r\n"


def test_multipart_text_fields_are_read_and_files_are_not() -> None:
    body = (
        part(b"email", b"a@example.com")
        + part(b"fields[city]", "Zürich\r\n2".encode())
        + part(b"avatar", b"\x00\x01", b'; filename="a.png"\r\nContent-Type: image/png')
        + part(b"tags[]", b"1")
        + part(b"tags[]", b"2")
        + b"--xyz--\r\nepilogue"
    )
    assert params.decode(b"", MULTIPART, body) == {
        "email": "a@example.com",
        "fields": {"city": "Zürich\r\n2"},
        "tags": ["1", "2"],
    }


def test_a_multipart_value_is_not_percent_decoded() -> None:
    assert params.decode(b"", MULTIPART, part(b"a", b"1%202+3") + b"--xyz--") == {"a": "1%202+3"}


@pytest.mark.parametrize("content_type", ("multipart/form-data", "multipart/form-data; boundary=" + "x" * 71))
def test_multipart_without_a_usable_boundary_is_refused(content_type: str) -> None:
    assert "boundary" in refusal(content_type, b"--x\r\n\r\n")


def test_multipart_with_a_thousand_and_one_fields_is_refused() -> None:
    thousand = b"".join(part(b"k%d" % n, b"") for n in range(1000))
    assert len(params.decode(b"", MULTIPART, thousand + b"--xyz--")) == 1000
    assert "1000" in refusal(MULTIPART, thousand + part(b"one more", b"") + b"--xyz--")


# Bounds


def test_a_thousand_parameters_are_read_and_one_more_is_refused() -> None:
    assert len(form(b"&".join(b"k%d=" % n for n in range(1000)))) == 1000
    assert refusal(FORM, b"&".join(b"k%d=" % n for n in range(1001))) == "More than 1000 parameters were sent"


def test_eight_brackets_are_read_and_nine_are_refused() -> None:
    assert query("a" + "[b]" * 8 + "=1") != {}
    with pytest.raises(BadBody, match="8 brackets"):
        query("a" + "[b]" * 9 + "=1")


@pytest.mark.parametrize(("opening", "closing"), ((b"[", b"]"), (b'[{"a":', b"}]")))
def test_json_is_read_to_depth_32_and_refused_beyond(opening: bytes, closing: bytes) -> None:
    pairs = 32 // (opening.count(b"[") + opening.count(b"{"))
    assert json(opening * pairs + b"1" + closing * pairs) == {}
    deep = opening * pairs + b'["]]]]}}}}"]' + closing * pairs
    assert refusal(JSON, deep) == "The JSON body is nested deeper than 32 levels"


def test_brackets_in_json_strings_are_not_nesting() -> None:
    text = r"{{ [[ \" {{ \\" * 30
    assert json(b'{"a":"' + text.encode() + b'"}') == {"a": msgspec.json.decode(f'"{text}"')}
    assert json(b'"' + b"[" * 50 + b'"') == {}


def test_twenty_thousand_small_arrays_are_read_and_more_are_refused() -> None:
    assert json(b'{"a":[' + b"[]," * 19_997 + b"[]]}")
    assert "20000" in refusal(JSON, b'{"a":[' + b"[]," * 19_998 + b"[]]}")


@pytest.mark.parametrize(
    "body",
    (
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 1_048_576,
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":' + b"9" * 1_000_000 + b"}",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":1e999}',
        rb'{"a":"\ud800"}',
        rb'{"a":"\udc00x"}',
        rb'{"\ud800":1}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xff"}',
        b'{"a":1',
        b'{"a":1}x',
        b'{"a":"\n"}',
        b"{'a':1}",
        b"{",
        b"[1,]",
    ),
)
def test_malformed_json_is_refused_with_a_sentence(body: bytes) -> None:
    for content_type in (JSON, FORM, ""):
        message = refusal(content_type, body)
        assert message.startswith("The ")
        assert len(message) < 200


def test_a_form_that_says_it_is_json_is_refused() -> None:
    assert refusal(JSON, b"email=a").startswith("The body is not valid JSON")


@pytest.mark.parametrize(
    "body",
    (
        b'{"a":"' + b'\\"[' * 340_000 + b'"}',
        b"a=" + b"%25" * 340_000,
        b"a=" + b"+" * 1_000_000,
        b"a[" + b"9" * 1_000_000 + b"]=1",
        b"{" + b",".join(b'"%d":1' % n for n in range(90_000)) + b"}",
        b'{"a":0.' + b"9" * 1_000_000 + b"}",
    ),
)
def test_a_mebibyte_of_odd_but_legal_content_is_read(body: bytes) -> None:
    assert params.decode(b"", "", body) != {}


def outcome(source: bytes, content_type: str, body: bytes) -> dict[str, object] | str:
    """The map, or the sentence of the refusal; any other exception fails the test."""
    try:
        return params.decode(source, content_type, body)
    except BadBody as refused:
        return refused.message


TYPES = st.sampled_from(["", FORM, JSON, MULTIPART, "x", "multipart/form-data"])
KEYS = st.sampled_from(["a", "b", "[", "]", "[]", "[0]", "[1]", "[a]", "[b]", "%5B", "&", "="])
TOKENS = st.sampled_from(['"', "\\", "[", "]", "{", "}", ",", ":", "1", '"a"', "\\ud800", "null"])


@given(st.binary(max_size=300), TYPES, st.binary())
def test_no_bytes_raise_anything_but_a_bad_body(source: bytes, content_type: str, body: bytes) -> None:
    decoded = outcome(source, content_type, body)
    assert isinstance(decoded, dict) or decoded.startswith("The ")


@given(st.lists(KEYS, max_size=40))
def test_any_shape_of_keys_is_read_alike_in_query_and_form(pieces: list[str]) -> None:
    source = "".join(pieces).encode()
    assert outcome(b"x=1&" + source, "", b"") == outcome(b"", FORM, b"x=1&" + source)


@given(st.lists(TOKENS, max_size=80))
def test_no_shape_of_json_raises_anything_but_a_bad_body(pieces: list[str]) -> None:
    decoded = outcome(b"", JSON, "".join(pieces).encode())
    assert isinstance(decoded, dict) or decoded.startswith("The ")


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=30,
)


@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=5))
def test_any_json_object_is_read_back_as_it_was_written(value: dict[str, object]) -> None:
    present = {key: item for key, item in value.items() if item is not None}
    assert comparable(json(msgspec.json.encode(value))) == present


def comparable(value: object) -> object:
    """Give decimals as the floats that they were written from."""
    match value:
        case Decimal():
            return float(value)
        case list():
            return [comparable(item) for item in value]
        case dict():
            return {key: comparable(item) for key, item in value.items()}
    return value


def test_numbers_beyond_every_use_are_refused() -> None:
    for written in ("1e325", "1e-325", "1e-999999999999", "1e99999999999999999999", "0e999999"):
        with pytest.raises(params.BadBody):
            params.decode(b"", JSON, f'{{"a": {written}}}'.encode())


def test_a_fraction_is_kept_digit_for_digit() -> None:
    assert json(b'{"total": 12345678901234567.89, "unit": 0.10}') == {
        "total": Decimal("12345678901234567.89"),
        "unit": Decimal("0.10"),
    }
