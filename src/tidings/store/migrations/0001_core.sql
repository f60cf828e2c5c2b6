-- Times are integer milliseconds UTC. Marks in braces are filled by dialect.py.

CREATE TABLE generations (
    account_id BIGINT PRIMARY KEY,
    n BIGINT NOT NULL
);

CREATE TABLE accounts (
    account_id BIGINT PRIMARY KEY,
    name TEXT NOT NULL,
    primary_email TEXT NOT NULL,
    plan TEXT NOT NULL,
    postal_address TEXT,
    demo_at BIGINT,
    created_at BIGINT NOT NULL
);

-- api_key is public by nature and kept as it is; secrets are kept as SHA-256.
CREATE TABLE credentials (
    account_id BIGINT NOT NULL REFERENCES accounts (account_id),
    {id},
    kind TEXT NOT NULL CHECK (kind IN ('key', 'secret')),
    digest TEXT NOT NULL UNIQUE,
    shown TEXT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    {key}
);
CREATE INDEX credentials_of_account ON credentials (account_id, kind);

-- For the whole installation: account_id is 0.
CREATE TABLE integrations (
    account_id BIGINT NOT NULL CHECK (account_id = 0),
    {id},
    name TEXT NOT NULL,
    digest TEXT NOT NULL UNIQUE,
    rate_limit BIGINT,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT,
    {key}
);

-- The last requests of a presented key, for a limit counted over several processes.
-- Losing it in a crash forgives at most a minute.
CREATE {unlogged} TABLE rate_windows (
    account_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    stamps TEXT NOT NULL,
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, name)
);

CREATE TABLE sign_in_links (
    account_id BIGINT NOT NULL REFERENCES accounts (account_id),
    {id},
    digest TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    {key}
);

CREATE TABLE sessions (
    account_id BIGINT NOT NULL REFERENCES accounts (account_id),
    {id},
    digest TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    {key}
);

CREATE TABLE counters (
    account_id BIGINT NOT NULL,
    kind TEXT NOT NULL,
    ref_id BIGINT NOT NULL,
    state TEXT NOT NULL,
    bucket BIGINT NOT NULL,
    day BIGINT NOT NULL,
    n BIGINT NOT NULL,
    PRIMARY KEY (account_id, kind, ref_id, state, bucket, day)
) {clustered};

CREATE TABLE events (
    account_id BIGINT NOT NULL,
    {id},
    name TEXT NOT NULL,
    subscriber_id BIGINT,
    subject_id BIGINT,
    value TEXT,
    snapshot TEXT NOT NULL,
    cause TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    told_at BIGINT,
    {key}
);
CREATE INDEX events_of_subscriber ON events (account_id, subscriber_id, id);
CREATE INDEX events_untold ON events (id) WHERE told_at IS NULL;

CREATE TABLE custom_fields (
    account_id BIGINT NOT NULL REFERENCES accounts (account_id),
    {id},
    key TEXT NOT NULL,
    label TEXT NOT NULL,
    label_key TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    {key},
    UNIQUE (account_id, key),
    UNIQUE (account_id, label_key)
);

-- A deleted field whose values are still being removed, slice by slice.
CREATE TABLE field_erasures (
    account_id BIGINT NOT NULL,
    {id},
    field_id BIGINT NOT NULL,
    after_id BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    {key}
);

-- `fields` is a JSON object of values by the id of the custom field: one read gives a
-- person whole, and a deleted field is unreadable at once.
CREATE TABLE subscribers (
    account_id BIGINT NOT NULL,
    {id},
    email TEXT NOT NULL,
    email_key TEXT NOT NULL,
    first_name TEXT,
    state TEXT NOT NULL CHECK (state IN ('active', 'inactive', 'cancelled', 'bounced', 'complained')),
    fields TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    activated_at BIGINT,
    cancelled_at BIGINT,
    bounced_at BIGINT,
    complained_at BIGINT,
    {key},
    UNIQUE (account_id, email_key)
);
CREATE INDEX subscribers_by_state ON subscribers (account_id, state, id, created_at, updated_at);
CREATE INDEX subscribers_cancelled ON subscribers (account_id, cancelled_at, id) WHERE state = 'cancelled';

CREATE TABLE forms (
    account_id BIGINT NOT NULL REFERENCES accounts (account_id),
    {id},
    uid TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    type TEXT NOT NULL CHECK (type IN ('embed', 'hosted')),
    format TEXT,
    title TEXT NOT NULL,
    description TEXT,
    sign_up_button_text TEXT NOT NULL,
    success_message TEXT NOT NULL,
    redirect_url TEXT,
    confirmation TEXT NOT NULL CHECK (confirmation IN ('double', 'none')),
    confirmation_subject TEXT,
    confirmation_html TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    archived_at BIGINT,
    {key}
);
CREATE UNIQUE INDEX forms_by_id ON forms (id);
CREATE INDEX forms_of_account ON forms (account_id, id);

CREATE TABLE sequences (
    account_id BIGINT NOT NULL REFERENCES accounts (account_id),
    {id},
    name TEXT NOT NULL,
    at_end TEXT NOT NULL CHECK (at_end IN ('hold', 'leave')),
    entry TEXT NOT NULL CHECK (entry IN ('once', 'repeat')),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    {key}
);
CREATE INDEX sequences_of_account ON sequences (account_id, id);

CREATE TABLE sequence_emails (
    account_id BIGINT NOT NULL,
    {id},
    sequence_id BIGINT NOT NULL,
    position BIGINT NOT NULL,
    subject TEXT NOT NULL,
    html TEXT NOT NULL,
    delay_ms BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    {key},
    FOREIGN KEY (account_id, sequence_id) REFERENCES sequences (account_id, id)
);
CREATE INDEX sequence_emails_in_order ON sequence_emails (account_id, sequence_id, position);

CREATE TABLE tags (
    account_id BIGINT NOT NULL REFERENCES accounts (account_id),
    {id},
    name TEXT NOT NULL,
    name_key TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    {key},
    UNIQUE (account_id, name_key)
);

-- `subscriber_state` repeats the subscriber's state: lists of a form by state are read
-- by index, without visiting a million people.
CREATE TABLE subscriptions (
    account_id BIGINT NOT NULL,
    {id},
    subscriber_id BIGINT NOT NULL,
    form_id BIGINT,
    sequence_id BIGINT,
    tag_id BIGINT,
    subscriber_state TEXT NOT NULL,
    source TEXT,
    referrer TEXT,
    confirmations BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    ended_at BIGINT,
    confirmed_at BIGINT,
    {key},
    CHECK (CASE WHEN form_id IS NOT NULL THEN 1 ELSE 0 END
         + CASE WHEN sequence_id IS NOT NULL THEN 1 ELSE 0 END
         + CASE WHEN tag_id IS NOT NULL THEN 1 ELSE 0 END = 1),
    FOREIGN KEY (account_id, subscriber_id) REFERENCES subscribers (account_id, id),
    FOREIGN KEY (account_id, form_id) REFERENCES forms (account_id, id),
    FOREIGN KEY (account_id, sequence_id) REFERENCES sequences (account_id, id),
    FOREIGN KEY (account_id, tag_id) REFERENCES tags (account_id, id)
);
CREATE UNIQUE INDEX subscriptions_form ON subscriptions (account_id, form_id, subscriber_id) WHERE form_id IS NOT NULL;
CREATE UNIQUE INDEX subscriptions_sequence ON subscriptions (account_id, sequence_id, subscriber_id) WHERE sequence_id IS NOT NULL;
CREATE UNIQUE INDEX subscriptions_tag ON subscriptions (account_id, tag_id, subscriber_id) WHERE tag_id IS NOT NULL;
CREATE INDEX subscriptions_form_list ON subscriptions (account_id, form_id, subscriber_state, id) WHERE form_id IS NOT NULL;
CREATE INDEX subscriptions_sequence_list ON subscriptions (account_id, sequence_id, subscriber_state, id) WHERE sequence_id IS NOT NULL;
CREATE INDEX subscriptions_tag_list ON subscriptions (account_id, tag_id, subscriber_state, id) WHERE tag_id IS NOT NULL;
CREATE INDEX subscriptions_form_all ON subscriptions (account_id, form_id, id) WHERE form_id IS NOT NULL;
CREATE INDEX subscriptions_sequence_all ON subscriptions (account_id, sequence_id, id) WHERE sequence_id IS NOT NULL;
CREATE INDEX subscriptions_tag_all ON subscriptions (account_id, tag_id, id) WHERE tag_id IS NOT NULL;
CREATE INDEX subscriptions_of_subscriber ON subscriptions (account_id, subscriber_id);

CREATE TABLE deliveries (
    account_id BIGINT NOT NULL,
    {id},
    occasion TEXT NOT NULL,
    subscriber_id BIGINT NOT NULL,
    lane TEXT NOT NULL CHECK (lane IN ('now', 'bulk')),
    state TEXT NOT NULL CHECK (state IN
        ('queued', 'claimed', 'handed', 'sent', 'deferred', 'failed', 'uncertain', 'suppressed')),
    attempts BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    lease BIGINT,
    lease_until BIGINT,
    handed_at BIGINT,
    settled_at BIGINT,
    reply TEXT,
    created_at BIGINT NOT NULL,
    {key},
    UNIQUE (account_id, occasion, subscriber_id),
    FOREIGN KEY (account_id, subscriber_id) REFERENCES subscribers (account_id, id)
);
CREATE INDEX deliveries_due ON deliveries (lane, due_at, id) WHERE state IN ('queued', 'deferred');
CREATE INDEX deliveries_held ON deliveries (lease_until) WHERE state IN ('claimed', 'handed');
CREATE INDEX deliveries_of_subscriber ON deliveries (account_id, subscriber_id, id);

-- When the last three confirmations went to a mailbox, over the whole installation
-- (account_id is 0): whose form it was makes no difference to the person.
CREATE TABLE confirmation_caps (
    account_id BIGINT NOT NULL CHECK (account_id = 0),
    mailbox TEXT NOT NULL,
    first_at BIGINT NOT NULL,
    second_at BIGINT NOT NULL,
    third_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, mailbox)
) {clustered};

CREATE TABLE outbox (
    account_id BIGINT NOT NULL,
    {id},
    delivery_id BIGINT NOT NULL,
    recipient TEXT NOT NULL,
    subject TEXT NOT NULL,
    raw {blob} NOT NULL,
    created_at BIGINT NOT NULL,
    {key},
    UNIQUE (account_id, delivery_id)
);
CREATE INDEX outbox_newest ON outbox (account_id, id);

CREATE TABLE broadcasts (
    account_id BIGINT NOT NULL REFERENCES accounts (account_id),
    {id},
    status TEXT NOT NULL CHECK (status IN ('draft', 'scheduled', 'sending', 'completed')),
    subject TEXT,
    description TEXT,
    content TEXT,
    visibility TEXT NOT NULL CHECK (visibility IN ('public', 'private')),
    published_at BIGINT NOT NULL,
    send_at BIGINT,
    thumbnail_alt TEXT,
    thumbnail_url TEXT,
    email_address TEXT NOT NULL,
    email_layout_template TEXT NOT NULL,
    recipients BIGINT NOT NULL,
    opens BIGINT NOT NULL,
    clicks BIGINT NOT NULL,
    total_clicks BIGINT NOT NULL,
    unsubscribes BIGINT NOT NULL,
    settled BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    {key}
);
CREATE INDEX broadcasts_of_account ON broadcasts (account_id, id);
CREATE INDEX broadcasts_due ON broadcasts (send_at) WHERE status = 'scheduled';

CREATE TABLE webhooks (
    account_id BIGINT NOT NULL REFERENCES accounts (account_id),
    {id},
    event TEXT NOT NULL,
    subject TEXT,
    subject_id BIGINT,
    value TEXT,
    target_url TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    {key}
);
CREATE INDEX webhooks_of_account ON webhooks (account_id, event);

-- Money is decimal text, exactly as given.
CREATE TABLE purchases (
    account_id BIGINT NOT NULL,
    {id},
    transaction_id TEXT NOT NULL,
    subscriber_id BIGINT NOT NULL,
    email TEXT NOT NULL,
    status TEXT NOT NULL,
    currency TEXT NOT NULL,
    subtotal TEXT NOT NULL,
    discount TEXT NOT NULL,
    tax TEXT NOT NULL,
    shipping TEXT NOT NULL,
    total TEXT NOT NULL,
    transaction_at BIGINT NOT NULL,
    integration TEXT,
    integration_id BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    {key},
    UNIQUE (account_id, transaction_id),
    FOREIGN KEY (account_id, subscriber_id) REFERENCES subscribers (account_id, id)
);
CREATE INDEX purchases_of_account ON purchases (account_id, id);
CREATE INDEX purchases_of_subscriber ON purchases (account_id, subscriber_id);

CREATE TABLE purchase_products (
    account_id BIGINT NOT NULL,
    {id},
    purchase_id BIGINT NOT NULL,
    position BIGINT NOT NULL,
    pid TEXT NOT NULL,
    lid TEXT NOT NULL,
    name TEXT NOT NULL,
    sku TEXT,
    unit_price TEXT NOT NULL,
    quantity BIGINT NOT NULL,
    {key},
    UNIQUE (account_id, purchase_id, position),
    FOREIGN KEY (account_id, purchase_id) REFERENCES purchases (account_id, id)
);
CREATE INDEX purchase_products_by_pid ON purchase_products (account_id, pid);
