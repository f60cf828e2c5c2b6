"""TLS and log-in: nothing secret in clear, certificates checked, nothing taken from before TLS."""

import asyncio
import base64
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvloop

from tests.mail.matrix import lies
from tests.mail.sink import Act, Fault, Script, Sink
from tidings.mail import conversation
from tidings.mail.smtp import Accepted, Envelope, NotTaken, Outcome, Settings, Smtp, Timeouts, Unknown

DATA = b"Subject: hi\r\n\r\nhello\r\n"


class Authority:
    """A made-up certificate authority, its PEM file, and server contexts it vouches for."""

    def __init__(self, folder: Path) -> None:
        self._ca = trustme.CA()
        self.pem = str(folder / "ca.pem")
        self._ca.cert_pem.write_to_path(self.pem)

    def server(self, name: str = "127.0.0.1") -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(name).configure_cert(context)
        return context


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def send(sink: Sink, **changes: Any) -> Coroutine[Any, Any, Outcome]:
    async def sending() -> Outcome:
        waits = Timeouts(quit_s=0.2).capped(10.0)
        smtp = Smtp(Settings(**{"host": "127.0.0.1", "port": sink.port, "timeouts": waits, **changes}))
        [outcome] = await smtp.send([Envelope(1, "news@a.test", "bea@b.test", DATA)])
        await smtp.close()
        return outcome

    return sending()


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main())


def test_starttls_secures_the_conversation_before_the_log_in(authority: Authority) -> None:
    async def main() -> None:
        async with Sink(tls=authority.server(), offers=["AUTH PLAIN LOGIN"]) as sink:
            outcome = await send(sink, starttls="require", ca_file=authority.pem, user="u", password="p:w")
            assert isinstance(outcome, Accepted)
            [talk] = sink.talks
            assert talk.secure
            verbs = [line.split(" ")[0] for line in talk.commands]
            assert verbs[:4] == ["EHLO", "STARTTLS", "EHLO", "AUTH"]
            assert base64.b64decode(talk.login[0].split(" ")[2]) == b"\0u\0p:w"

    run(main)


def test_implicit_tls_works(authority: Authority) -> None:
    async def main() -> None:
        async with Sink(tls=authority.server(), implicit_tls=True) as sink:
            outcome = await send(sink, implicit_tls=True, ca_file=authority.pem)
            assert isinstance(outcome, Accepted)

    run(main)


@pytest.mark.parametrize("loop", ("asyncio", "uvloop"))
@pytest.mark.parametrize("implicit", (True, False))
def test_pipelined_messages_of_every_size_arrive_through_tls(
    authority: Authority, implicit: bool, loop: str
) -> None:
    sizes = (1, 100, 2_000, 70_000, 1)
    batch = [
        Envelope(key, "news@a.test", f"p{key}@b.test", DATA + b"x\r\n" * size)
        for key, size in enumerate(sizes)
    ]

    async def main() -> None:
        script: Script = {"answer": [None, Fault.RST], "rcpt": [None] * 3 + ["550 5.1.1 nobody"]}
        async with Sink([script], tls=authority.server(), implicit_tls=implicit) as sink:
            mode = {"implicit_tls": True} if implicit else {"starttls": "require"}
            waits = Timeouts(quit_s=0.2).capped(10.0)
            smtp = Smtp(Settings("127.0.0.1", sink.port, ca_file=authority.pem, timeouts=waits, **mode))
            outcomes = await smtp.send(batch)
            await smtp.close()
            assert all(talk.secure for talk in sink.talks)
            assert [type(outcome) for outcome in outcomes] == [Accepted, Unknown, *[Accepted] * 3]
            assert lies(batch, outcomes, sink) == []

    with asyncio.Runner(loop_factory=uvloop.new_event_loop if loop == "uvloop" else None) as runner:
        runner.run(main())


@pytest.mark.parametrize("implicit", (True, False))
@pytest.mark.parametrize("wrong", ("authority", "name"))
def test_a_certificate_that_does_not_check_gets_no_mail(
    authority: Authority, implicit: bool, wrong: str
) -> None:
    name = "other.test" if wrong == "name" else "127.0.0.1"
    trusted = authority.pem if wrong == "name" else None

    async def main() -> None:
        async with Sink(tls=authority.server(name), implicit_tls=implicit) as sink:
            outcome = await send(sink, implicit_tls=implicit, starttls="require", ca_file=trusted)
            assert isinstance(outcome, NotTaken)
            assert outcome.stage == ("connect" if implicit else "starttls")
            assert "certificate" in outcome.reason.lower()
            assert not any(line.startswith("MAIL") for talk in sink.talks for line in talk.commands)

    run(main)


def test_a_stripped_starttls_is_refused_where_tls_is_required() -> None:
    async def main() -> None:
        async with Sink(offers=["AUTH PLAIN"]) as sink:
            outcome = await send(sink, starttls="require", user="u", password="p")
            assert isinstance(outcome, NotTaken)
            assert outcome.stage == "starttls"
            assert sink.talks[0].login == []

    run(main)


@pytest.mark.parametrize("fault", (Fault.FIN, Fault.RST, Fault.GARBAGE, "454 4.7.0 not now", "501 5.5.4 no"))
def test_a_broken_starttls_is_refused_where_tls_is_required(authority: Authority, fault: Act) -> None:
    async def main() -> None:
        async with Sink([{"starttls": fault}], tls=authority.server()) as sink:
            outcome = await send(sink, starttls="require", ca_file=authority.pem)
            assert isinstance(outcome, NotTaken)
            assert outcome.stage == "starttls"

    run(main)


def test_tls_that_is_merely_welcome_is_used_and_done_without(authority: Authority) -> None:
    async def main() -> None:
        async with Sink(tls=authority.server()) as with_tls, Sink() as without:
            assert isinstance(await send(with_tls), Accepted)
            assert with_tls.talks[0].secure
            assert isinstance(await send(without), Accepted)
        async with Sink([{"starttls": "454 4.7.0 not now"}], tls=authority.server()) as refusing:
            assert isinstance(await send(refusing), Accepted)

    run(main)


def test_replies_smuggled_in_before_tls_are_not_believed(authority: Authority) -> None:
    # Believed, the second line would be the answer to EHLO and offer a log-in nobody vouches for.
    smuggled = b"220 go on\r\n250-evil.test\r\n250 AUTH LOGIN\r\n"

    async def main() -> None:
        async with Sink([{"starttls": smuggled}], tls=authority.server(), offers=["AUTH PLAIN"]) as sink:
            outcome = await send(sink, starttls="require", ca_file=authority.pem, user="u", password="p")
            assert isinstance(outcome, Accepted)
            assert sink.talks[0].login[0].startswith("AUTH PLAIN ")

    run(main)


def test_a_password_never_travels_in_clear_beyond_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "is_loopback", lambda host: False)

    async def main() -> None:
        async with Sink(offers=["AUTH PLAIN LOGIN"]) as sink:
            outcome = await send(sink, user="u", password="p", starttls="opportunistic")
            assert isinstance(outcome, NotTaken)
            assert outcome.stage == "auth"
            assert sink.talks[0].login == []

    run(main)


def test_login_is_spoken_where_plain_is_not() -> None:
    async def main() -> None:
        async with Sink(offers=["AUTH LOGIN"]) as sink:
            assert isinstance(await send(sink, user="ada", password="geheim"), Accepted)
            assert [base64.b64decode(word).decode() for word in sink.talks[0].login[1:]] == ["ada", "geheim"]

    run(main)


def test_a_server_without_a_known_log_in_is_not_used() -> None:
    async def main() -> None:
        async with Sink(offers=["AUTH CRAM-MD5"]) as sink:
            outcome = await send(sink, user="ada", password="geheim")
            assert isinstance(outcome, NotTaken)
            assert outcome.stage == "auth"

    run(main)


def test_a_failed_log_in_says_why_and_not_with_what() -> None:
    async def main() -> None:
        async with Sink([{"auth": "535 5.7.8 wrong"}], offers=["AUTH PLAIN"]) as sink:
            outcome = await send(sink, user="ada", password="geheim")
            assert isinstance(outcome, NotTaken)
            assert (outcome.stage, "535 5.7.8 wrong" in outcome.reason) == ("auth", True)
            assert "geheim" not in repr(outcome)
            assert base64.b64encode(b"\0ada\0geheim").decode() not in repr(outcome)

    run(main)
