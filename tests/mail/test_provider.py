"""The provider's URL: what it may say, its safe defaults, and what is refused."""

import pytest

from tidings.mail.provider import Settings, Timeouts, is_loopback


def test_a_full_url_is_read() -> None:
    read = Settings.from_url(
        "smtp://ada%40a.test:p%3Aw%2Fd@mail.a.test:587?connections=4&messages=20&starttls=require&name=news.a.test&timeout=20"
    )
    assert (read.host, read.port, read.user, read.password) == ("mail.a.test", 587, "ada@a.test", "p:w/d")
    assert (read.connections, read.messages) == (4, 20)
    assert (read.starttls, read.name) == ("require", "news.a.test")
    assert read.timeouts.dot_s == 20
    assert read.timeouts.connect_s == 20


@pytest.mark.parametrize(
    ("url", "port", "implicit", "starttls"),
    (
        ("smtp://mail.a.test", 25, False, "opportunistic"),
        ("smtp://u:p@mail.a.test", 25, False, "require"),
        ("smtp://u:p@localhost", 25, False, "opportunistic"),
        ("smtp://u:p@[::1]:2525/", 2525, False, "opportunistic"),
        ("smtp://u:p@mail.a.test?starttls=opportunistic", 25, False, "opportunistic"),
        ("smtps://u:p@mail.a.test", 465, True, "require"),
    ),
)
def test_defaults_are_safe(url: str, port: int, implicit: bool, starttls: str) -> None:
    read = Settings.from_url(url)
    assert (read.port, read.implicit_tls, read.starttls) == (port, implicit, starttls)
    assert (read.connections, read.messages) == (10, 0)
    assert read.timeouts == Timeouts()


@pytest.mark.parametrize(
    "url",
    (
        "http://mail.a.test",
        "outbox:",
        "smtp://",
        "smtp://:25",
        "smtp://mail.a.test:99999",
        "smtp://mail.a.test:x",
        "smtp://mail.a.test:0",
        "smtp://mail.a.test/path",
        "smtp://ma il.a.test",
        "smtp://user-without-geheim@mail.a.test",
        "smtp://:geheim@mail.a.test",
        "smtp://u:geheim@mail.a.test?starttls=never",
        "smtp://u:geheim@mail.a.test?starttls=maybe",
        "smtps://u:geheim@mail.a.test?starttls=never",
        "smtp://u:ge%00heim@mail.a.test",
        "smtp://mail.a.test?connections=0",
        "smtp://mail.a.test?connections=1000",
        "smtp://mail.a.test?messages=-1",
        "smtp://mail.a.test?messages=100001",
        "smtp://mail.a.test?connections=x",
        "smtp://mail.a.test?connections=1&connections=2",
        "smtp://mail.a.test?conections=5",
        "smtp://mail.a.test?name=a%0d%0ab",
    ),
)
def test_what_makes_no_sense_or_is_unsafe_is_refused_without_showing_the_password(url: str) -> None:
    with pytest.raises(ValueError, match=r".") as refusal:
        Settings.from_url(url)
    assert "geheim" not in str(refusal.value)


def test_the_password_is_not_in_the_repr() -> None:
    assert "geheim" not in repr(Settings.from_url("smtp://u:geheim@mail.a.test"))


def test_loopback_is_told_from_the_rest() -> None:
    assert all(map(is_loopback, ("localhost", "LOCALHOST.", "127.0.0.1", "127.8.8.8", "::1")))
    assert not any(map(is_loopback, ("localhost.a.test", "10.0.0.1", "0.0.0.0", "127.a.test", "")))
