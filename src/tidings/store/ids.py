"""Given ids: how fresh ones stay clear of them."""

from tidings.store import postgres
from tidings.store.db import Database

# A sequence lives outside of transactions: nextval never gives again what it gave, and
# must not be set back by a race between the look and the move.
_MOVE = (
    "SELECT setval(CAST(pg_get_serial_sequence(CAST(:name AS TEXT), 'id') AS regclass),"
    " CAST(:highest AS BIGINT)) WHERE CAST(:highest AS BIGINT) > COALESCE(pg_sequence_last_value("
    "CAST(pg_get_serial_sequence(CAST(:name AS TEXT), 'id') AS regclass)), 0)"
)


def move_past(db: Database, table: str, highest: int) -> None:
    """Let every fresh id of a table come after `highest`, from now on.

    Called before rows with given ids are written: otherwise a row without one, of this
    process or of another, could be given an id that is about to be taken. SQLite's
    AUTOINCREMENT does it by itself, as long as rows with given ids are written first.
    """
    session = db.session(writer=True)
    try:
        if isinstance(session, postgres.PostgresSession):
            session.fetch(_MOVE, {"name": table, "highest": highest})
    finally:
        session.close()
