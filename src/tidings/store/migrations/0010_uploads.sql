-- Files of people that were sent to a page, until they are imported; and backups that were asked for.

-- `chunks` of `bytes` in all are kept; `wishes` is JSON as in imports. `seen` is JSON: how the file was
-- understood, `counted` what a trial found, `said` why it failed. `done` of `size` bytes are read in the
-- present state, which it has since `state_at`. A worker holds it until `leased_until_at`, for the time
-- being without headway `tries` times. `dropped_at` is when the file itself was deleted, and
-- `forgotten_at` when its refused rows were.
CREATE TABLE uploads (
    account_id BIGINT NOT NULL REFERENCES accounts (account_id),
    {id},
    name TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('arriving', 'arrived', 'read', 'counting', 'counted', 'importing',
        'done', 'cancelled', 'failed')),
    chunks BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    wishes TEXT NOT NULL,
    seen TEXT,
    counted TEXT,
    said TEXT,
    import_id BIGINT,
    done BIGINT NOT NULL,
    size BIGINT NOT NULL,
    state_at BIGINT NOT NULL,
    worker TEXT,
    leased_until_at BIGINT NOT NULL,
    tries BIGINT NOT NULL,
    refused BIGINT NOT NULL,
    consent TEXT,
    consent_by TEXT,
    consented_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    dropped_at BIGINT,
    forgotten_at BIGINT,
    {key}
);
CREATE INDEX uploads_kept ON uploads (state, updated_at) WHERE dropped_at IS NULL;
CREATE INDEX uploads_refused ON uploads (updated_at) WHERE forgotten_at IS NULL;

-- A piece of a file: `size` bytes of it, packed by zlib where that makes it smaller.
CREATE TABLE upload_chunks (
    account_id BIGINT NOT NULL,
    upload_id BIGINT NOT NULL,
    number BIGINT NOT NULL,
    size BIGINT NOT NULL,
    body {blob} NOT NULL,
    PRIMARY KEY (account_id, upload_id, number),
    FOREIGN KEY (account_id, upload_id) REFERENCES uploads (account_id, id)
);

-- Records that an import refused, some at a time: `refused` is JSON, the last of them is record `until`.
CREATE TABLE upload_refusals (
    account_id BIGINT NOT NULL,
    upload_id BIGINT NOT NULL,
    until BIGINT NOT NULL,
    refused TEXT NOT NULL,
    PRIMARY KEY (account_id, upload_id, until),
    FOREIGN KEY (account_id, upload_id) REFERENCES uploads (account_id, id)
);

-- A backup that somebody asked for; the account is 0, the installation.
CREATE TABLE backups (
    account_id BIGINT NOT NULL,
    {id},
    state TEXT NOT NULL CHECK (state IN ('asked', 'done', 'failed')),
    asked_by TEXT NOT NULL,
    name TEXT,
    bytes BIGINT,
    done BIGINT NOT NULL,
    total BIGINT NOT NULL,
    said TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    {key}
);
CREATE INDEX backups_asked ON backups (account_id, id) WHERE state = 'asked';
