-- People who sign in to the dashboard, what they may do in which account, and what they did.

-- For the whole installation: account_id is 0. `password` is argon2id's own text, `totp` the shared
-- secret sealed with the master key, `totp_step` the last 30 seconds a code of which was used,
-- `recovery` the digests of codes for a lost device.
CREATE TABLE users (
    account_id BIGINT NOT NULL CHECK (account_id = 0),
    {id},
    email TEXT NOT NULL,
    email_key TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    password TEXT,
    password_at BIGINT,
    totp TEXT,
    totp_at BIGINT,
    totp_step BIGINT NOT NULL DEFAULT 0,
    recovery TEXT NOT NULL DEFAULT '',
    created_at BIGINT NOT NULL,
    {key}
);

CREATE TABLE memberships (
    account_id BIGINT NOT NULL REFERENCES accounts (account_id),
    {id},
    user_id BIGINT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('owner', 'editor', 'viewer')),
    created_at BIGINT NOT NULL,
    {key},
    UNIQUE (account_id, user_id)
);
CREATE INDEX memberships_of_user ON memberships (user_id, account_id);

-- Sessions from before there were users are ended: nobody could say whose they are.
DELETE FROM sessions;
DELETE FROM sign_in_links;
ALTER TABLE sessions ADD COLUMN user_id BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN agent TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN address TEXT NOT NULL DEFAULT '';
CREATE INDEX sessions_of_user ON sessions (user_id, id);

-- `way` is command (printed where Tidings is installed), mail, or invitation.
ALTER TABLE sign_in_links ADD COLUMN user_id BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sign_in_links ADD COLUMN way TEXT NOT NULL DEFAULT 'command';

-- What users did, newest last; `who` is their address as it was then, since users come and go.
CREATE TABLE audit (
    account_id BIGINT NOT NULL,
    {id},
    user_id BIGINT NOT NULL,
    who TEXT NOT NULL,
    act TEXT NOT NULL,
    subject TEXT NOT NULL,
    address TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    {key}
);
CREATE INDEX audit_newest ON audit (account_id, id);
CREATE INDEX audit_by_age ON audit (created_at);

-- Mail about a user (a link to sign in) goes to them; NULL is the account's own address.
ALTER TABLE owner_notes ADD COLUMN recipient TEXT;

-- When a key was last presented, to the hour: whether one may be taken away.
ALTER TABLE credentials ADD COLUMN used_at BIGINT;
