-- Moving in and out.

-- What our own words to readers are in: the first part of a language tag.
ALTER TABLE accounts ADD COLUMN language TEXT NOT NULL DEFAULT 'en';

-- `place` is how many records of the file are done; `wishes` is JSON, what it was asked to do, and
-- an import with the same wishes and the same file goes on where this one stands.
CREATE TABLE imports (
    account_id BIGINT NOT NULL REFERENCES accounts (account_id),
    {id},
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    wishes TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('running', 'done')),
    place BIGINT NOT NULL,
    made BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    same BIGINT NOT NULL,
    kept BIGINT NOT NULL,
    rejected BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    done_at BIGINT,
    {key}
);
CREATE INDEX imports_of_account ON imports (account_id, digest, id);
