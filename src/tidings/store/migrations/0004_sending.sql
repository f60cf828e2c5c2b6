-- The sending engine: the ledger's further facts, and broadcasts that are sent.

-- `crashes` counts workers that ended while they held the row, `ambiguous` the times that
-- nobody knows whether it arrived. `verdict` is what a refusal proved.
ALTER TABLE deliveries ADD COLUMN broadcast_id BIGINT;
ALTER TABLE deliveries ADD COLUMN crashes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN ambiguous BIGINT NOT NULL DEFAULT 0;

-- A source of mail is a broadcast, or all other mail of an account: each is claimed by
-- itself, so that none starves another and a paused one costs nothing.
DROP INDEX deliveries_due;
CREATE INDEX deliveries_due ON deliveries (lane, account_id, due_at, id)
    WHERE state IN ('queued', 'deferred') AND broadcast_id IS NULL;
CREATE INDEX deliveries_due_of_broadcast ON deliveries (account_id, broadcast_id, due_at, id)
    WHERE state IN ('queued', 'deferred') AND broadcast_id IS NOT NULL;
-- Those few that have seen a crash are claimed one at a time.
CREATE INDEX deliveries_crashed ON deliveries (account_id, broadcast_id, due_at, id)
    WHERE state IN ('queued', 'deferred') AND crashes > 0;
CREATE INDEX deliveries_unsent_of_broadcast ON deliveries (account_id, broadcast_id, id)
    WHERE state IN ('failed', 'uncertain') AND broadcast_id IS NOT NULL;

-- Every try that did not simply succeed.
CREATE TABLE attempts (
    account_id BIGINT NOT NULL,
    {id},
    delivery_id BIGINT NOT NULL,
    subscriber_id BIGINT NOT NULL,
    n BIGINT NOT NULL,
    state TEXT NOT NULL,
    verdict TEXT NOT NULL,
    reply TEXT NOT NULL,
    at BIGINT NOT NULL,
    {key}
);
CREATE INDEX attempts_of_delivery ON attempts (account_id, delivery_id, id);
CREATE INDEX attempts_soft ON attempts (account_id, subscriber_id, at) WHERE verdict IN ('soft', 'mailbox-full');

-- `frozen` is the content as it was when sending began; people up to `cursor_id` have their
-- delivery, nobody beyond `highest_id` gets one.
ALTER TABLE broadcasts ADD COLUMN text TEXT;
ALTER TABLE broadcasts ADD COLUMN preheader TEXT NOT NULL DEFAULT '';
ALTER TABLE broadcasts ADD COLUMN from_name TEXT;
ALTER TABLE broadcasts ADD COLUMN reply_to TEXT;
ALTER TABLE broadcasts ADD COLUMN frozen TEXT;
ALTER TABLE broadcasts ADD COLUMN cursor_id BIGINT NOT NULL DEFAULT 0;
ALTER TABLE broadcasts ADD COLUMN highest_id BIGINT NOT NULL DEFAULT 0;
ALTER TABLE broadcasts ADD COLUMN started_at BIGINT;
ALTER TABLE broadcasts ADD COLUMN fanned_at BIGINT;
ALTER TABLE broadcasts ADD COLUMN paused_at BIGINT;
ALTER TABLE broadcasts ADD COLUMN paused_why TEXT;
ALTER TABLE broadcasts ADD COLUMN cancelled_at BIGINT;
ALTER TABLE broadcasts ADD COLUMN completed_at BIGINT;
ALTER TABLE broadcasts ADD COLUMN sent BIGINT NOT NULL DEFAULT 0;
ALTER TABLE broadcasts ADD COLUMN kept BIGINT NOT NULL DEFAULT 0;
ALTER TABLE broadcasts ADD COLUMN failed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE broadcasts ADD COLUMN uncertain BIGINT NOT NULL DEFAULT 0;
ALTER TABLE broadcasts ADD COLUMN suppressed BIGINT NOT NULL DEFAULT 0;
CREATE INDEX broadcasts_sending ON broadcasts (account_id, id) WHERE status = 'sending';

-- Whom a broadcast goes to: nobody included means everybody active.
CREATE TABLE broadcast_audiences (
    account_id BIGINT NOT NULL,
    {id},
    broadcast_id BIGINT NOT NULL,
    excluded BIGINT NOT NULL CHECK (excluded IN (0, 1)),
    form_id BIGINT,
    sequence_id BIGINT,
    tag_id BIGINT,
    {key},
    CHECK (CASE WHEN form_id IS NOT NULL THEN 1 ELSE 0 END
         + CASE WHEN sequence_id IS NOT NULL THEN 1 ELSE 0 END
         + CASE WHEN tag_id IS NOT NULL THEN 1 ELSE 0 END = 1),
    FOREIGN KEY (account_id, broadcast_id) REFERENCES broadcasts (account_id, id)
);
CREATE INDEX broadcast_audiences_of_broadcast ON broadcast_audiences (account_id, broadcast_id);

-- What is done when nobody knows whether a bulk mail arrived.
ALTER TABLE accounts ADD COLUMN ambiguity TEXT NOT NULL DEFAULT 'retry-once'
    CHECK (ambiguity IN ('retry-once', 'hold'));

-- Keys that sign mail, sealed with the master key.
CREATE TABLE signing_keys (
    account_id BIGINT NOT NULL REFERENCES accounts (account_id),
    {id},
    domain TEXT NOT NULL,
    selector TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('rsa', 'ed25519')),
    sealed TEXT NOT NULL,
    record TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    retired_at BIGINT,
    {key},
    UNIQUE (account_id, domain, selector)
);

-- The engine's clock: when it last lived, and in which installation (account_id is 0).
CREATE TABLE heartbeats (
    account_id BIGINT NOT NULL CHECK (account_id = 0),
    name TEXT NOT NULL,
    instance TEXT NOT NULL,
    beat_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, name)
);

-- What a provider has been given: `windows` hold the mails of the last second, minute, hour and
-- day that its limits count, `rate` is how many a second it is offered while it begins slowly.
-- `awaited` mails of the lane now found the windows full: bulk mail leaves them room.
CREATE TABLE paces (
    account_id BIGINT NOT NULL CHECK (account_id = 0),
    provider TEXT NOT NULL,
    rate BIGINT NOT NULL,
    raised_at BIGINT NOT NULL,
    slowed_at BIGINT NOT NULL,
    deferred_at BIGINT NOT NULL,
    windows TEXT NOT NULL,
    awaited BIGINT NOT NULL,
    awaited_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, provider)
);

-- Domains that put us off (account_id is 0): how often in a row since when, and how long (`rest_ms`, 0: not
-- yet) and until when their mail rests. From `probed_at` on one mail finds out how they are.
CREATE TABLE domain_rests (
    account_id BIGINT NOT NULL CHECK (account_id = 0),
    domain TEXT NOT NULL,
    deferrals BIGINT NOT NULL,
    rest_ms BIGINT NOT NULL,
    until_at BIGINT NOT NULL,
    probed_at BIGINT,
    since_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, domain)
);
