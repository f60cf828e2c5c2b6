"""/metrics: there only for who says the token, in Prometheus' format, with the numbers of the database."""

import asyncio
import re

import pytest

from tests.core.cast import Cast, join
from tidings import settings
from tidings.app import web
from tidings.app.metrics import Metrics
from tidings.core import webhooks
from tidings.settings import Bad
from tidings.store.db import Database
from tidings.web.http import Reply

TOKEN = "a-token-of-many-letters"
SAYS = [(b"authorization", b"Bearer " + TOKEN.encode())]
_SAMPLE = re.compile(r'tidings_[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.e+-]+')


def asked(metrics: Metrics, headers: list[tuple[bytes, bytes]]) -> Reply:
    return asyncio.run(metrics.answer(headers))


@pytest.mark.parametrize(
    "headers", ([], [(b"authorization", b"Bearer ")], [(b"authorization", TOKEN.encode())],
                [(b"authorization", b"Bearer " + TOKEN.encode() + b"x")])
)  # fmt: skip
def test_who_does_not_say_the_token_sees_nothing(db: Database, headers: list[tuple[bytes, bytes]]) -> None:
    refused = asked(Metrics(db, TOKEN), headers)
    assert (refused.status, b"tidings_" in refused.body) == (401, False)


def test_without_a_token_there_is_no_page(db: Database) -> None:
    assert asked(Metrics(db, ""), [(b"authorization", b"Bearer ")]).status == 404


def test_every_line_is_a_sample_or_told_of_by_a_comment(db: Database, cast: Cast) -> None:
    metrics = Metrics(db, TOKEN)
    for seconds in (0.0, 0.002, 99.0):
        metrics.count(200, seconds)
    text = asked(metrics, SAYS).body.decode()
    known = set(re.findall(r"# TYPE (\S+)", text))
    for line in text.splitlines():
        if line.startswith("# "):
            continue
        assert _SAMPLE.fullmatch(line), line
        name = re.split(r"[{ ]", line)[0]
        assert name in known or re.sub(r"_(bucket|sum|count)$", "", name) in known
    assert 'tidings_http_requests_total{status="200"} 3' in text
    assert 'tidings_http_request_seconds_bucket{le="+Inf"} 3' in text
    assert 'tidings_http_request_seconds_bucket{le="10.0"} 2' in text


def test_the_numbers_are_those_of_the_database(db: Database, cast: Cast) -> None:
    db.write_now(cast.ada.id, webhooks.create, "tag_add", "https://example.com/", subject="tag_id",
                 subject_id=cast.ada.tag)  # fmt: skip
    join(db, cast.ada, "form", cast.ada.double, "nia@example.com")
    join(db, cast.ada, "tag", cast.ada.tag, "bea@example.com")
    text = asked(Metrics(db, TOKEN), SAYS).body.decode()
    for line in (
        'tidings_subscribers{state="active"} 1',
        'tidings_subscribers{state="bounced"} 1',
        'tidings_subscribers{state="inactive"} 2',
        'tidings_deliveries_waiting{lane="now",state="queued"} 2',
        "tidings_events_untold 1",
        "tidings_webhooks_failing 0",
    ):
        assert line in text.splitlines(), text


def test_the_database_is_asked_once_in_ten_seconds(db: Database, cast: Cast) -> None:
    metrics = Metrics(db, TOKEN)
    before = asked(metrics, SAYS).body
    join(db, cast.ada, "form", cast.ada.plain, "nia@example.com")
    assert b'tidings_subscribers{state="active"} 1' in before
    assert b'tidings_subscribers{state="active"} 1' in asked(metrics, SAYS).body


def test_a_short_token_is_refused_at_the_start(db: Database) -> None:
    from_here = {"TIDINGS_METRICS_TOKEN": "short", "TIDINGS_DATABASE": db.url, "TIDINGS_MASTER_KEY": "k" * 32}
    with pytest.raises(Bad, match="at least 16"):
        web(settings.load(from_here), db)
