-- Events go out: webhooks that are told, rules that act, a person's traces and their end.

-- How many webhooks and rules that are on listen to events of a name: what nobody listens to
-- needs no telling.
CREATE TABLE listeners (
    account_id BIGINT NOT NULL REFERENCES accounts (account_id),
    name TEXT NOT NULL,
    n BIGINT NOT NULL,
    PRIMARY KEY (account_id, name)
) {clustered};
INSERT INTO listeners (account_id, name, n)
SELECT account_id, event, COUNT(*) FROM webhooks GROUP BY account_id, event;

-- The thing itself as it was then: a purchase.
ALTER TABLE events ADD COLUMN detail TEXT;

-- The secret is derived from the master key and `key_n`; until `key_until_at` the former one signs too.
ALTER TABLE webhooks ADD COLUMN key_n BIGINT NOT NULL DEFAULT 1;
ALTER TABLE webhooks ADD COLUMN key_until_at BIGINT;
ALTER TABLE webhooks ADD COLUMN rule_id BIGINT;
ALTER TABLE webhooks ADD COLUMN failing_since_at BIGINT;
ALTER TABLE webhooks ADD COLUMN disabled_at BIGINT;
ALTER TABLE webhooks ADD COLUMN disabled_why TEXT;

-- One event told to one webhook; event_id is NULL for a test. `body` is what is posted.
CREATE TABLE notices (
    account_id BIGINT NOT NULL,
    {id},
    webhook_id BIGINT NOT NULL,
    event_id BIGINT,
    subscriber_id BIGINT,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'claimed', 'told', 'failed', 'dropped')),
    attempts BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    lease BIGINT,
    lease_until BIGINT,
    created_at BIGINT NOT NULL,
    settled_at BIGINT,
    {key},
    UNIQUE (account_id, webhook_id, event_id)
);
CREATE INDEX notices_due ON notices (account_id, webhook_id, due_at, id) WHERE state = 'queued';
CREATE INDEX notices_held ON notices (lease_until) WHERE state = 'claimed';
CREATE INDEX notices_of_webhook ON notices (account_id, webhook_id, id);
CREATE INDEX notices_of_subscriber ON notices (account_id, subscriber_id, id) WHERE subscriber_id IS NOT NULL;
CREATE INDEX notices_by_age ON notices (created_at);

-- `status` is NULL where there was no answer; `answer` is its first kilobyte.
CREATE TABLE notice_attempts (
    account_id BIGINT NOT NULL,
    {id},
    notice_id BIGINT NOT NULL,
    webhook_id BIGINT NOT NULL,
    n BIGINT NOT NULL,
    at BIGINT NOT NULL,
    took_ms BIGINT NOT NULL,
    status BIGINT,
    error TEXT NOT NULL,
    answer TEXT NOT NULL,
    {key}
);
CREATE INDEX notice_attempts_of_notice ON notice_attempts (account_id, notice_id, id);
CREATE INDEX notice_attempts_of_webhook ON notice_attempts (account_id, webhook_id, id);
CREATE INDEX notice_attempts_by_age ON notice_attempts (at);

-- `scan_day` and `scan_id` say how far today's walk over the people has come, for triggers of time.
CREATE TABLE rules (
    account_id BIGINT NOT NULL REFERENCES accounts (account_id),
    {id},
    name TEXT NOT NULL,
    name_key TEXT NOT NULL,
    trigger TEXT NOT NULL,
    trigger_id BIGINT,
    trigger_value TEXT,
    conditions TEXT NOT NULL,
    actions TEXT NOT NULL,
    enabled_at BIGINT,
    ran BIGINT NOT NULL DEFAULT 0,
    last_ran_at BIGINT,
    problem TEXT,
    scan_day BIGINT,
    scan_id BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    {key},
    UNIQUE (account_id, name_key)
);

CREATE INDEX rules_timed ON rules (account_id, id)
    WHERE trigger IN ('date_arrives', 'goes_quiet') AND enabled_at IS NOT NULL;

CREATE TABLE rule_runs (
    account_id BIGINT NOT NULL,
    {id},
    rule_id BIGINT NOT NULL,
    subscriber_id BIGINT NOT NULL,
    occasion TEXT NOT NULL,
    event_id BIGINT,
    depth BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('due', 'done', 'skipped', 'cut', 'failed')),
    due_at BIGINT NOT NULL,
    said TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    settled_at BIGINT,
    {key},
    UNIQUE (account_id, rule_id, occasion, subscriber_id)
);
CREATE INDEX rule_runs_due ON rule_runs (account_id, due_at, id) WHERE state = 'due';
CREATE INDEX rule_runs_of_rule ON rule_runs (account_id, rule_id, id);
CREATE INDEX rule_runs_of_subscriber ON rule_runs (account_id, subscriber_id, id);

-- Mailboxes that must not be mailed again although nothing else is known of them: a keyed hash.
CREATE TABLE suppressions (
    account_id BIGINT NOT NULL,
    digest TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, digest)
) {clustered};

-- People whose erasure is not finished, and when it was: no personal data.
CREATE TABLE erasures (
    account_id BIGINT NOT NULL,
    {id},
    subscriber_id BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('rows', 'late', 'storage', 'done')),
    created_at BIGINT NOT NULL,
    done_at BIGINT,
    {key}
);
CREATE INDEX erasures_waiting ON erasures (created_at) WHERE done_at IS NULL;

-- What somebody bought who was erased since: the books, without anybody.
CREATE TABLE sales (
    account_id BIGINT NOT NULL REFERENCES accounts (account_id),
    {id},
    status TEXT NOT NULL,
    currency TEXT NOT NULL,
    subtotal TEXT NOT NULL,
    discount TEXT NOT NULL,
    tax TEXT NOT NULL,
    shipping TEXT NOT NULL,
    total TEXT NOT NULL,
    transaction_at BIGINT NOT NULL,
    integration TEXT,
    products TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    {key}
);

-- Words that mails name: {{ snippet.NAME }}.
CREATE TABLE snippets (
    account_id BIGINT NOT NULL REFERENCES accounts (account_id),
    {id},
    name TEXT NOT NULL,
    content TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    {key},
    UNIQUE (account_id, name)
);

-- Mail to the owner of an account, not to a subscriber.
CREATE TABLE owner_notes (
    account_id BIGINT NOT NULL,
    {id},
    occasion TEXT NOT NULL,
    subject TEXT NOT NULL,
    text TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'sent', 'failed')),
    attempts BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    reply TEXT,
    created_at BIGINT NOT NULL,
    settled_at BIGINT,
    {key},
    UNIQUE (account_id, occasion)
);
CREATE INDEX owner_notes_of_account ON owner_notes (account_id, id);
CREATE INDEX owner_notes_settled ON owner_notes (settled_at) WHERE state <> 'queued';
CREATE INDEX owner_notes_due ON owner_notes (due_at, id) WHERE state = 'queued';

CREATE INDEX attempts_of_subscriber ON attempts (account_id, subscriber_id, id);
CREATE INDEX hits_of_subscriber ON hits (account_id, subscriber_id, id);
