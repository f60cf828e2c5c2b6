-- Sequences that send: what their emails are, when they may go out, and who is inside.

ALTER TABLE accounts ADD COLUMN time_zone TEXT NOT NULL DEFAULT 'UTC';
ALTER TABLE subscribers ADD COLUMN time_zone TEXT;

-- `replan_from` is the last entry that was looked at since the sequence changed; NULL
-- when everybody inside has been. `last_rank` is the highest rank ever given: what is added
-- at the end lies behind everybody's place, also behind those of emails long moved or removed.
ALTER TABLE sequences ADD COLUMN hour BIGINT;
ALTER TABLE sequences ADD COLUMN zone TEXT NOT NULL DEFAULT 'account';
ALTER TABLE sequences ADD COLUMN replan_from BIGINT;
ALTER TABLE sequences ADD COLUMN last_rank BIGINT NOT NULL DEFAULT 0;
CREATE INDEX sequences_to_replan ON sequences (id) WHERE replan_from IS NOT NULL;

-- `weekdays` is a mask, Monday = 1. A removed email keeps its row: what was sent stays sent.
ALTER TABLE sequence_emails ADD COLUMN text TEXT;
ALTER TABLE sequence_emails ADD COLUMN preheader TEXT NOT NULL DEFAULT '';
ALTER TABLE sequence_emails ADD COLUMN published_at BIGINT;
ALTER TABLE sequence_emails ADD COLUMN weekdays BIGINT NOT NULL DEFAULT 127;
ALTER TABLE sequence_emails ADD COLUMN hour BIGINT;
ALTER TABLE sequence_emails ADD COLUMN removed_at BIGINT;
-- Ranks lie 2^40 apart, so that an email comes between two others without moving them.
UPDATE sequence_emails SET published_at = created_at, position = position * 1099511627776;
UPDATE sequences SET last_rank = COALESCE((SELECT MAX(position) FROM sequence_emails
    WHERE sequence_emails.account_id = sequences.account_id AND sequence_id = sequences.id), 0);

CREATE TABLE sequence_exclusions (
    account_id BIGINT NOT NULL,
    {id},
    sequence_id BIGINT NOT NULL,
    tag_id BIGINT,
    form_id BIGINT,
    {key},
    CHECK (CASE WHEN tag_id IS NOT NULL THEN 1 ELSE 0 END
         + CASE WHEN form_id IS NOT NULL THEN 1 ELSE 0 END = 1),
    FOREIGN KEY (account_id, sequence_id) REFERENCES sequences (account_id, id),
    FOREIGN KEY (account_id, tag_id) REFERENCES tags (account_id, id),
    FOREIGN KEY (account_id, form_id) REFERENCES forms (account_id, id)
);
CREATE INDEX sequence_exclusions_of_sequence ON sequence_exclusions (account_id, sequence_id);

-- `n` counts the times through; `position` is the rank that the last email queued had
-- then, `had` the ids of all that were queued, with commas. `since_at` is from when the
-- next delay counts. `next_at` is NULL for who waits: not active, or nothing to come.
CREATE TABLE entries (
    account_id BIGINT NOT NULL,
    {id},
    sequence_id BIGINT NOT NULL,
    subscriber_id BIGINT NOT NULL,
    n BIGINT NOT NULL,
    email_id BIGINT,
    position BIGINT NOT NULL,
    had TEXT NOT NULL,
    since_at BIGINT NOT NULL,
    next_at BIGINT,
    state TEXT NOT NULL CHECK (state IN ('inside', 'held', 'ended', 'left')),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    completed_at BIGINT,
    ended_at BIGINT,
    {key},
    UNIQUE (account_id, sequence_id, subscriber_id, n),
    FOREIGN KEY (account_id, sequence_id) REFERENCES sequences (account_id, id),
    FOREIGN KEY (account_id, subscriber_id) REFERENCES subscribers (account_id, id)
);
CREATE INDEX entries_due ON entries (next_at, id) WHERE state = 'inside';
CREATE INDEX entries_of_sequence ON entries (account_id, sequence_id, state, id);
CREATE INDEX entries_of_subscriber ON entries (account_id, subscriber_id);

-- Who subscribed before sequences could send begins now.
INSERT INTO entries (account_id, sequence_id, subscriber_id, n, position, had, since_at, next_at, state,
    created_at, updated_at)
SELECT account_id, sequence_id, subscriber_id, 1, 0, '', created_at,
    CASE WHEN subscriber_state = 'active' THEN created_at END, 'inside', created_at, created_at
FROM subscriptions WHERE sequence_id IS NOT NULL AND ended_at IS NULL;
