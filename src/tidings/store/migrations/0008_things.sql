-- Forms, tags and sequences as their owners edit them.

-- `version` rises with each change, so that who saves over a change they have not seen is told.
ALTER TABLE forms ADD COLUMN version BIGINT NOT NULL DEFAULT 1;
ALTER TABLE sequence_emails ADD COLUMN version BIGINT NOT NULL DEFAULT 1;

-- A deleted tag keeps its row, so that what happened with it can still be told; `name_key` is its own
-- then. `emptied_at` is when nobody had it any more: the engine takes it off people slice by slice.
ALTER TABLE tags ADD COLUMN deleted_at BIGINT;
ALTER TABLE tags ADD COLUMN emptied_at BIGINT;
CREATE INDEX tags_to_empty ON tags (id) WHERE deleted_at IS NOT NULL AND emptied_at IS NULL;

-- What became of each email of a sequence. Apart from its words: on SQLite a row is written whole, and
-- a letter of 50 KB would be with each batch.
CREATE TABLE sequence_numbers (
    account_id BIGINT NOT NULL,
    email_id BIGINT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('sent', 'opens', 'clicks', 'unsubscribes')),
    n BIGINT NOT NULL,
    PRIMARY KEY (account_id, email_id, kind)
) {clustered};

-- How many are behind which email. With the state, though the index knows it: SQLite would read each row.
CREATE INDEX entries_by_email ON entries (account_id, sequence_id, email_id, state)
    WHERE state IN ('inside', 'held');
