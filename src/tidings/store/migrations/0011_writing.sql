-- Writing broadcasts: two people at one text, what the text is written in, trials, numbers by the hour.

-- `version` rises with each change, so that who saves over a change they have not seen is told.
-- `source` is what an owner wrote where `content` is made of it (Markdown).
ALTER TABLE broadcasts ADD COLUMN version BIGINT NOT NULL DEFAULT 1;
ALTER TABLE broadcasts ADD COLUMN source_kind TEXT NOT NULL DEFAULT 'html'
    CHECK (source_kind IN ('rich', 'html', 'markdown'));
ALTER TABLE broadcasts ADD COLUMN source TEXT;

-- People's opens, clicks and unsubscribes of a broadcast by the hour in which they were counted
-- (`hour_at` is its beginning). Those of before this table are in the broadcast's totals alone.
CREATE TABLE broadcast_hours (
    account_id BIGINT NOT NULL,
    broadcast_id BIGINT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('opens', 'clicks', 'unsubscribes')),
    hour_at BIGINT NOT NULL,
    n BIGINT NOT NULL,
    PRIMARY KEY (account_id, broadcast_id, kind, hour_at)
);

-- A broadcast as one address gets it to look at: no delivery, in no number. `subscriber_id` is whose
-- name and fields are in it, `frozen` the content as it was when it was asked for.
CREATE TABLE trials (
    account_id BIGINT NOT NULL REFERENCES accounts (account_id),
    {id},
    broadcast_id BIGINT NOT NULL,
    subscriber_id BIGINT,
    address TEXT NOT NULL,
    frozen TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'sent', 'failed')),
    attempts BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    reply TEXT,
    created_at BIGINT NOT NULL,
    settled_at BIGINT,
    {key}
);
CREATE INDEX trials_of_account ON trials (account_id, id);
CREATE INDEX trials_of_broadcast ON trials (account_id, broadcast_id, id);
CREATE INDEX trials_of_subscriber ON trials (account_id, subscriber_id, id);
CREATE INDEX trials_due ON trials (due_at, id) WHERE state = 'queued';
CREATE INDEX trials_settled ON trials (settled_at) WHERE state <> 'queued';
