"""Which URLs may be asked for, and how they go out."""

import pytest

from tidings.outbound.target import BAD_PORTS, Refused, checked


@pytest.mark.parametrize(
    ("url", "goes_to"),
    (
        ("http://example.com", "http://example.com"),
        ("https://example.com:8443/hook", "https://example.com:8443/hook"),
        ("HTTPS://Example.COM./a", "https://Example.COM./a"),
        ("http://8.8.8.8:8080/?a=b", "http://8.8.8.8:8080/?a=b"),
        ("http://[2606:4700::1111]/x", "http://[2606:4700::1111]/x"),
        ("http://a_b.example.com/", "http://a_b.example.com/"),
        ("http://bücher.example/süß?q=ö", "http://xn--bcher-kva.example/s%C3%BC%C3%9F?q=%C3%B6"),
        # To the octet: %2B is not +, %41 is not A, and nothing is put in order.
        ("https://a.test/%2Fa%41/../b//?sig=%2b+%20&x", "https://a.test/%2Fa%41/../b//?sig=%2b+%20&x"),
        ("https://a.test/@b:c@d", "https://a.test/@b:c@d"),
    ),
)
def test_a_plain_url_goes_out_as_it_was_written(url: str, goes_to: str) -> None:
    assert str(checked(url)) == goes_to


@pytest.mark.parametrize(
    ("url", "why"),
    (
        ("ftp://example.com/", "must begin with http"),
        ("http://ada:secret@example.com/", "no user name or password"),
        ("http://@example.com/", "no user name or password"),
        ("http://example.com:25/", "port 25 is not one for HTTP"),
        ("http://example.com:0/", "port 0 is not one for HTTP"),
        ("http://example.com/a b", "percent-encoded"),
        ("http://example.com/\r\nX: y", "percent-encoded"),
        ("http://example.com\\@127.0.0.1/", "percent-encoded"),
        ("http://127.1/", "usual form"),
        ("http://2130706433/", "usual form"),
        ("http://0x7f000001/", "usual form"),
        ("http://example.0177/", "usual form"),
        ("http://exa%6dple.com/", "no valid host"),
        ("http://[fe80::1%25eth0]/", "link-local"),
        ("http://127.0.0.1/", "127.0.0.1 is not reached: loopback"),
        ("http://[::ffff:10.0.0.1]/", "private"),
        ("http://１２７.０.０.１/", "127.0.0.1 is not reached: loopback"),
        ("http://" + "a" * 2_100, "longer than"),
    ),
)
def test_a_refusal_says_what_is_wrong(url: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        checked(url)


def test_a_refusal_never_repeats_a_password() -> None:
    with pytest.raises(Refused) as refused:
        checked("http://ada:hunter2@example.com/")
    assert "hunter2" not in str(refused.value)


def test_the_ports_of_the_fetch_standard_are_refused_and_those_of_the_web_are_not() -> None:
    for port in BAD_PORTS:
        with pytest.raises(Refused):
            checked(f"http://example.com:{port}/")
    for port in (80, 443, 3000, 5678, 8000, 8080, 8443, 65535):
        assert checked(f"http://example.com:{port}/").port == port
