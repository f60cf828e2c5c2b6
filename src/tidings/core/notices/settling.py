"""Settling: how tries ended, many in one write, and what they say about their webhooks."""

from collections.abc import Iterable, Sequence

from tidings.core import owner_notes, webhooks
from tidings.core.notices.rows import ANSWER_MAX, ERROR_MAX, Notice, Outcome, Told
from tidings.core.notices.schedule import GONE
from tidings.store.tx import Collected, Tx

# A webhook that has failed so long without one success is disabled.
FAILING_MOST_MS = 5 * 24 * 3_600_000
WHY_GONE = "the address said that it is gone (410)"
WHY_FAILING = "every try has failed for five days"

# Rows of one statement: a few texts serve every number of rows.
SIZES = (1, 8, 64, 320)
# One letter a name, and types for the first row only: as in deliveries/settling.py.
_GIVEN = {
    size: ", ".join(
        [
            (
                "(CAST(:i0 AS BIGINT), CAST(:k0 AS BIGINT), CAST(:l0 AS BIGINT), CAST(:s0 AS TEXT),"
                " CAST(:d0 AS BIGINT), CAST(:n0 AS BIGINT))"
            ),
            *(f"(:i{at}, :k{at}, :l{at}, :s{at}, :d{at}, :n{at})" for at in range(1, size)),
        ]
    )
    for size in SIZES
}
_SETTLE = {
    size: (
        "UPDATE notices SET state = given.column4, due_at = given.column5,"  # noqa: S608 (our names)
        " attempts = attempts + given.column6, lease = NULL, lease_until = NULL,"
        " settled_at = CASE WHEN given.column4 IN ('told', 'failed', 'dropped') THEN :now END"
        f" FROM (VALUES {rows}) AS given WHERE notices.account_id = given.column2"
        " AND notices.id = given.column1 AND notices.lease = given.column3 AND notices.state = 'claimed'"
        " RETURNING notices.account_id, notices.id"
    )
    for size, rows in _GIVEN.items()
}
_ATTEMPT = Collected(
    "INSERT INTO notice_attempts (account_id, notice_id, webhook_id, n, at, took_ms, status, error, answer)"
    " VALUES (:account_id, :notice_id, :webhook_id, :n, :at, :took_ms, :status, :error, :answer)",
    ("account_id", "notice_id", "webhook_id", "n", "at", "took_ms", "status", "error", "answer"),
)


def settle(tx: Tx, outcomes: Iterable[Outcome]) -> int:
    """Write how tries ended; return how many notices were ours to settle.

    A lapsed lease changes nothing: its notice is somebody else's. That it was tried stands in the log
    all the same, unless the notice itself is gone: then no trace of it may come back.
    """
    left = sorted(outcomes, key=lambda one: (one.notice.account_id, one.notice.id))
    settled: list[Outcome] = []
    while left:
        size = next(size for size in reversed(SIZES) if size <= len(left))
        settled += _settle_some(tx, left[:size])
        del left[:size]
    _judge(tx, settled)
    return len(settled)


def _settle_some(tx: Tx, some: Sequence[Outcome]) -> list[Outcome]:
    names: dict[str, object] = {}
    for at, one in enumerate(some):
        names[f"i{at}"] = one.notice.id
        names[f"k{at}"] = one.notice.account_id
        names[f"l{at}"] = one.notice.lease
        names[f"s{at}"] = one.state
        names[f"d{at}"] = one.due_at
        names[f"n{at}"] = 0 if one.told is None else 1
    won = {(row[0], row[1]) for row in tx.all(_SETTLE[len(some)], now=tx.now, **names)}
    settled = []
    for one in some:
        ours = (one.notice.account_id, one.notice.id) in won
        if ours:
            settled.append(one)
        if one.told is not None and (ours or _is_there(tx, one.notice)):
            _note(tx, one.notice, one.told)
    return settled


def _is_there(tx: Tx, notice: Notice) -> bool:
    row = tx.one(
        "SELECT 1 FROM notices WHERE account_id = :account_id AND id = :id",
        account_id=notice.account_id,
        id=notice.id,
    )
    return row is not None


def _note(tx: Tx, notice: Notice, told: Told) -> None:
    """Keep a try in the log."""
    row = (
        notice.account_id,
        notice.id,
        notice.webhook_id,
        notice.attempts + 1,
        tx.now,
        told.took_ms,
        told.status,
        _kept(told.error)[:ERROR_MAX],
        _kept(told.body[:ANSWER_MAX].decode("utf-8", "replace")),
    )
    tx.append(_ATTEMPT, row)


def _kept(text: str) -> str:
    """Return text that both databases can hold."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def _judge(tx: Tx, settled: Sequence[Outcome]) -> None:
    """Note for each webhook that it goes well or fails, and disable one that is beyond hope.

    Rows of webhooks are written only where that changes, by what their claim saw.
    """
    by_webhook: dict[tuple[int, int], list[tuple[Notice, Told]]] = {}
    for one in settled:
        if one.told is not None:
            place = (one.notice.account_id, one.notice.webhook_id)
            by_webhook.setdefault(place, []).append((one.notice, one.told))
    for (account_id, webhook_id), tried in sorted(by_webhook.items(), key=lambda item: item[0]):
        own = tx.for_account(account_id)
        url = tried[0][0].url
        if any(told.status == GONE for _, told in tried):
            _switch_off(own, webhook_id, url, WHY_GONE)
        elif any(told.fine for _, told in tried):
            if any(notice.failing_since_at is not None for notice, _ in tried):
                webhooks.went_well(own, webhook_id)
        elif all(_is_new(tx, notice) for notice, _ in tried):
            since = webhooks.went_wrong(own, webhook_id)
            if since is not None and tx.now - since >= FAILING_MOST_MS:
                _switch_off(own, webhook_id, url, WHY_FAILING)


def _is_new(tx: Tx, notice: Notice) -> bool:
    """Whether its failure says what the webhook's row does not: it is the first, or five days are over."""
    since = notice.failing_since_at
    return since is None or tx.now - since >= FAILING_MOST_MS


def _switch_off(tx: Tx, webhook_id: int, url: str, why: str) -> None:
    """Disable a webhook and tell its owner, once."""
    if webhooks.seen(tx, webhook_id) is None or not webhooks.disable(tx, webhook_id, why):
        return
    text = (
        f"The webhook {webhook_id}, which posts to\n\n    {url}\n\nis disabled: {why}. It hears nothing"
        " from now on, and what waited for it is dropped.\n\nOnce the receiver answers again, enable it:\n\n"
        f"    tidings webhook enable {webhook_id}\n\nand send again what it has missed:\n\n"
        f"    tidings webhook replay --webhook {webhook_id} --since TIME\n"
    )
    occasion = f"webhook-disabled:{webhook_id}:{tx.now}"
    owner_notes.tell(tx, occasion, f"A webhook is disabled: {why}", text)
