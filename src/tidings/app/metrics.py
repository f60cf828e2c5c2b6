"""`/metrics`: what the house does, in the text format of Prometheus (exposition format 0.0.4).

It is there only where `TIDINGS_METRICS_TOKEN` is set, for who says it. Numbers of the database are
of all processes together and at most `FRESH_S` old; requests and groups are this process's own.
"""

import asyncio
import contextlib
import hmac
import resource
import time
from bisect import bisect_left
from pathlib import Path

from tidings.core import reports
from tidings.core.accounts import INSTALLATION
from tidings.core.reports import Figure
from tidings.store.db import Database
from tidings.web.http import Headers, Reply, header

FRESH_S = 10.0
# Seconds; the last bucket is everything.
BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
TEXT = b"text/plain; version=0.0.4; charset=utf-8"

_HELP = {
    "subscribers": ("gauge", "Subscribers of all accounts by state."),
    "deliveries_waiting": ("gauge", "Mails that have not come to their end, by lane and state."),
    "broadcast_mails_total": ("counter", "Mails of all broadcasts by how they ended."),
    "broadcasts": ("gauge", "Broadcasts by status."),
    "broadcasts_paused": ("gauge", "Broadcasts that are being sent and stand still."),
    "events_untold": ("gauge", "Events that webhooks or rules wait for (counted up to 100,000)."),
    "notices_waiting": ("gauge", "Posts to webhooks that wait for their time (counted up to 100,000)."),
    "rule_runs_due": ("gauge", "Runs of rules that wait (counted up to 100,000)."),
    "webhooks_failing": ("gauge", "Webhooks without a success since their last failure."),
    "webhooks_disabled": ("gauge", "Webhooks that are switched off, by themselves or by their owner."),
    "owner_notes_waiting": ("gauge", "Mails to owners of accounts that wait."),
    "engine_silent_seconds": ("gauge", "Seconds since an engine last said that it lives."),
}


class Metrics:
    """Counts the requests of a web process and answers for all; `token` says who may ask."""

    def __init__(self, db: Database, token: str) -> None:
        self._db = db
        self._token = token.encode()
        self._requests: dict[int, int] = {}
        self._buckets = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0
        self._figures: list[Figure] = []
        self._asked_s = -FRESH_S
        self._asking = asyncio.Lock()

    def count(self, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests[status] = self._requests.get(status, 0) + 1
        self._buckets[bisect_left(BUCKETS, seconds)] += 1
        self._seconds += seconds

    async def answer(self, headers: Headers) -> Reply:
        """Return the page, 404 where there is none, 401 for who does not say the token."""
        if not self._token:
            return Reply(404, b"not found\n", TEXT)
        said = header(headers, b"authorization")
        if not hmac.compare_digest(said, b"Bearer " + self._token):
            return Reply(401, b"the token is missing or wrong\n", TEXT, [(b"www-authenticate", b"Bearer")])
        async with self._asking:
            # Many who ask at once are one question.
            if time.monotonic() - self._asked_s >= FRESH_S:
                self._figures = await self._db.scan(INSTALLATION, reports.figures)
                self._asked_s = time.monotonic()
        return Reply(200, self._text().encode(), TEXT, [(b"cache-control", b"no-store")])

    def _text(self) -> str:
        lines: list[str] = []
        for name in dict.fromkeys(one.name for one in self._figures):
            kind, words = _HELP[name]
            lines += _head(name, kind, words)
            lines += [_line(name, one.labels, one.value) for one in self._figures if one.name == name]
        lines += self._of_requests() + self._of_writer()
        size = _size(self._db)
        if size is not None:
            lines += [*_head("database_bytes", "gauge", "The SQLite file and its log."),
                      _line("database_bytes", (), size)]  # fmt: skip
        # Linux counts in KiB (getrusage(2)).
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1_024
        lines += [*_head("process_peak_bytes", "gauge", "The most memory that this process has had."),
                  _line("process_peak_bytes", (), peak)]  # fmt: skip
        return "\n".join(lines) + "\n"

    def _of_requests(self) -> list[str]:
        lines = _head("http_requests_total", "counter", "Requests that this process answered, by status.")
        lines += [
            _line("http_requests_total", (("status", str(status)),), n)
            for status, n in sorted(self._requests.items())
        ]
        name = "http_request_seconds"
        lines += _head(name, "histogram", "How long requests took.")
        total = 0
        for edge, n in zip((*map(str, BUCKETS), "+Inf"), self._buckets, strict=True):
            total += n
            lines.append(_line(name + "_bucket", (("le", edge),), total))
        return [*lines, _line(name + "_sum", (), self._seconds), _line(name + "_count", (), total)]

    def _of_writer(self) -> list[str]:
        tally = self._db.tally
        lines = []
        for name, words, value in (
            ("writer_groups_total", "Transactions of this process's writer.", tally.groups),
            ("writer_verbs_total", "Verbs in them: verbs by groups is how many share a commit.", tally.verbs),
            ("writer_seconds_total", "How long they took, the commit included.", tally.seconds),
        ):
            lines += [*_head(name, "counter", words), _line(name, (), value)]
        return lines


def _head(name: str, kind: str, words: str) -> list[str]:
    return [f"# HELP tidings_{name} {words}", f"# TYPE tidings_{name} {kind}"]


def _line(name: str, labels: tuple[tuple[str, str], ...], value: float) -> str:
    """Write a sample; our labels hold no quote, backslash or line end."""
    shown = ",".join(f'{key}="{word}"' for key, word in labels)
    return f"tidings_{name}{{{shown}}} {value}" if shown else f"tidings_{name} {value}"


def _size(db: Database) -> int | None:
    """Return the octets of the SQLite file and its log; None for a server of its own."""
    if db.shared:
        return None
    path = Path(db.url.removeprefix("sqlite:///"))
    total = 0
    for one in (path, path.with_name(path.name + "-wal")):
        with contextlib.suppress(OSError):
            total += one.stat().st_size
    return total
