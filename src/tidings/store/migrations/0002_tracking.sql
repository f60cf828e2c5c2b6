-- One row for each URL of a content; owner is the first two parts of an occasion.
CREATE TABLE links (
    account_id BIGINT NOT NULL REFERENCES accounts (account_id),
    {id},
    owner TEXT NOT NULL,
    url TEXT NOT NULL,
    url_hash TEXT NOT NULL,
    clicks BIGINT NOT NULL DEFAULT 0,
    unique_clicks BIGINT NOT NULL DEFAULT 0,
    machine_clicks BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    {key},
    UNIQUE (account_id, owner, url_hash)
);

-- Opens (link_id is NULL) and clicks as they came; `machine` is why it was no person.
-- They are folded away in time, and so are deliveries: no foreign key.
CREATE TABLE hits (
    account_id BIGINT NOT NULL,
    {id},
    delivery_id BIGINT NOT NULL,
    subscriber_id BIGINT NOT NULL,
    link_id BIGINT,
    at BIGINT NOT NULL,
    machine TEXT,
    agent TEXT NOT NULL,
    address TEXT NOT NULL,
    {key}
);
CREATE INDEX hits_of_delivery ON hits (account_id, delivery_id);
CREATE INDEX hits_by_age ON hits (at);

-- Who unsubscribed by the link in a mail, for the way back of who pressed it by mistake.
CREATE TABLE leaves (
    account_id BIGINT NOT NULL,
    {id},
    subscriber_id BIGINT NOT NULL,
    delivery_id BIGINT NOT NULL,
    way TEXT NOT NULL CHECK (way IN ('page', 'one-click')),
    state_before TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    undone_at BIGINT,
    {key},
    FOREIGN KEY (account_id, subscriber_id) REFERENCES subscribers (account_id, id)
);
CREATE INDEX leaves_of_subscriber ON leaves (account_id, subscriber_id, id);

ALTER TABLE deliveries ADD COLUMN opened_at BIGINT;
ALTER TABLE deliveries ADD COLUMN clicked_at BIGINT;
ALTER TABLE deliveries ADD COLUMN machine_opened_at BIGINT;
ALTER TABLE deliveries ADD COLUMN machine_clicked_at BIGINT;

ALTER TABLE broadcasts ADD COLUMN machine_opens BIGINT NOT NULL DEFAULT 0;
ALTER TABLE broadcasts ADD COLUMN machine_clicks BIGINT NOT NULL DEFAULT 0;

-- 0: nothing is kept of who opened, or of who clicked.
ALTER TABLE accounts ADD COLUMN track_opens BIGINT NOT NULL DEFAULT 1;
ALTER TABLE accounts ADD COLUMN track_clicks BIGINT NOT NULL DEFAULT 1;

-- Since when people may join and leave it by themselves, on their preferences page.
ALTER TABLE tags ADD COLUMN public_at BIGINT;
ALTER TABLE sequences ADD COLUMN public_at BIGINT;
