-- How far the people of an account are in the index, and how many were taken out of it. The row is the
-- lock of the index.
CREATE TABLE search_cursors (
    account_id BIGINT PRIMARY KEY,
    until_id BIGINT NOT NULL,
    forgotten BIGINT NOT NULL
);

-- A block is the people from first_id to last_id; `ids` are theirs, `n` how many of them are left.
-- `settled_at` is when it was seen to be whole.
CREATE TABLE search_blocks (
    account_id BIGINT NOT NULL,
    first_id BIGINT NOT NULL,
    last_id BIGINT NOT NULL,
    n BIGINT NOT NULL,
    built_at BIGINT NOT NULL,
    settled_at BIGINT,
    ids TEXT NOT NULL,
    PRIMARY KEY (account_id, first_id)
) {clustered};

-- Of each two letters in a row: by the third, who of the block has all three.
CREATE TABLE search_pairs (
    account_id BIGINT NOT NULL,
    first_id BIGINT NOT NULL,
    pair TEXT NOT NULL,
    places TEXT NOT NULL,
    PRIMARY KEY (account_id, first_id, pair)
) {clustered};

-- Whose name or address is another than the index has; `was` is what it may have.
CREATE TABLE search_changes (
    account_id BIGINT NOT NULL,
    subscriber_id BIGINT NOT NULL,
    was TEXT NOT NULL,
    n BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, subscriber_id)
) {clustered};

-- One change of many people, asked for once and done slice by slice.
CREATE TABLE bulk_changes (
    account_id BIGINT NOT NULL REFERENCES accounts (account_id),
    {id},
    act TEXT NOT NULL CHECK (act IN ('tag', 'untag', 'unsubscribe')),
    tag_id BIGINT,
    chosen TEXT NOT NULL,
    asked_by TEXT NOT NULL,
    expected BIGINT NOT NULL,
    until_id BIGINT NOT NULL,
    after_id BIGINT NOT NULL,
    matched BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'done', 'cancelled', 'failed')),
    said TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    ended_at BIGINT,
    {key}
);
CREATE INDEX bulk_changes_of_account ON bulk_changes (account_id, id);
CREATE INDEX bulk_changes_waiting ON bulk_changes (account_id, id) WHERE state = 'waiting';
