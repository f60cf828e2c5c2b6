"""TLS: the certificate must be vouched for and must name the host."""

import ssl
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path

import pytest
import trustme

from tests.outbound.rig import OK, answers, naming, run, serving
from tidings.outbound.client import Answer, Outbound

HOME = [ip_network("127.0.0.0/8")]


def asked(tmp_path: Path, names: list[str], host: str, *, trusted: bool = True) -> Answer:
    """Post over TLS to `host`, which leads to a server with a certificate for `names`."""
    found: list[Answer] = []
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)

    async def main() -> None:
        async with serving(answers(OK), ssl=context) as server, naming(here) as name_server:
            roots = str(tmp_path / "ca.pem") if trusted else None
            outbound = Outbound(allow=HOME, roots=roots, names=name_server.names(HOME))
            found.append(await outbound.post(f"https://{host}:{server.port}/", b"{}", {}))
            await outbound.close()

    run(main)
    return found[0]


def here(name: str, kind: str) -> list[str]:
    return ["127.0.0.1"] if kind == "A" else []


@pytest.mark.parametrize(
    ("names", "host"),
    (
        (["shop.test"], "shop.test"),
        (["shop.test"], "SHOP.test."),
        (["*.shop.test"], "hooks.shop.test"),
        (["127.0.0.1"], "127.0.0.1"),
    ),
)
def test_a_certificate_that_is_vouched_for_and_names_the_host_is_taken(
    tmp_path: Path, names: list[str], host: str
) -> None:
    answer = asked(tmp_path, names, host)
    assert (answer.status, answer.error) == (200, "")


@pytest.mark.parametrize(
    ("names", "host"),
    ((["other.test"], "shop.test"), (["shop.test"], "127.0.0.1"), (["*.test"], "a.shop.test")),
)
def test_a_certificate_for_another_host_is_not_taken(tmp_path: Path, names: list[str], host: str) -> None:
    answer = asked(tmp_path, names, host)
    assert answer.status is None
    assert "the certificate is not trusted" in answer.error


def test_a_certificate_that_nobody_vouches_for_is_not_taken(tmp_path: Path) -> None:
    answer = asked(tmp_path, ["shop.test"], "shop.test", trusted=False)
    assert answer.status is None
    assert "the certificate is not trusted" in answer.error


@pytest.mark.parametrize("scheme", ("https", "http"))
def test_tls_against_plain_and_plain_against_tls_are_values(tmp_path: Path, scheme: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    options: dict[str, Callable[..., object] | ssl.SSLContext] = {"ssl": context} if scheme == "http" else {}

    async def main() -> None:
        async with serving(answers(OK), **options) as server:
            outbound = Outbound(allow=HOME, total_s=1.0)
            answer = await outbound.post(f"{scheme}://127.0.0.1:{server.port}/", b"{}", {})
            assert answer.status is None
            assert answer.error
            await outbound.close()

    run(main)
