-- Imports at full speed.

-- An import goes through its file window by window, each in the order of its addresses: `place` is how many
-- records lie before the window, `within` how many of its people are done.
ALTER TABLE imports ADD COLUMN within BIGINT NOT NULL DEFAULT 0;

-- Subscriptions without foreign keys: on PostgreSQL they were half of an import and a third of a sign-up with
-- two tags. What they held is held by the verbs and looked at by `tidings check` (decision 0013). On SQLite a
-- row is found by its number, which needs no second index.
{on_postgresql} ALTER TABLE subscriptions DROP CONSTRAINT subscriptions_account_id_subscriber_id_fkey;
{on_postgresql} ALTER TABLE subscriptions DROP CONSTRAINT subscriptions_account_id_form_id_fkey;
{on_postgresql} ALTER TABLE subscriptions DROP CONSTRAINT subscriptions_account_id_sequence_id_fkey;
{on_postgresql} ALTER TABLE subscriptions DROP CONSTRAINT subscriptions_account_id_tag_id_fkey;
DROP INDEX subscriptions_form;
DROP INDEX subscriptions_sequence;
DROP INDEX subscriptions_tag;
DROP INDEX subscriptions_form_list;
DROP INDEX subscriptions_sequence_list;
DROP INDEX subscriptions_tag_list;
DROP INDEX subscriptions_form_all;
DROP INDEX subscriptions_sequence_all;
DROP INDEX subscriptions_tag_all;
DROP INDEX subscriptions_of_subscriber;
{on_sqlite} ALTER TABLE subscriptions RENAME TO subscriptions_before;
{on_sqlite} CREATE TABLE subscriptions (account_id BIGINT NOT NULL,
{on_sqlite}     {id},
{on_sqlite}     subscriber_id BIGINT NOT NULL,
{on_sqlite}     form_id BIGINT,
{on_sqlite}     sequence_id BIGINT,
{on_sqlite}     tag_id BIGINT,
{on_sqlite}     subscriber_state TEXT NOT NULL,
{on_sqlite}     source TEXT,
{on_sqlite}     referrer TEXT,
{on_sqlite}     confirmations BIGINT NOT NULL,
{on_sqlite}     created_at BIGINT NOT NULL,
{on_sqlite}     ended_at BIGINT,
{on_sqlite}     confirmed_at BIGINT,
{on_sqlite}     CHECK (CASE WHEN form_id IS NOT NULL THEN 1 ELSE 0 END
{on_sqlite}          + CASE WHEN sequence_id IS NOT NULL THEN 1 ELSE 0 END
{on_sqlite}          + CASE WHEN tag_id IS NOT NULL THEN 1 ELSE 0 END = 1)
{on_sqlite} );
-- An id is never given twice, also where the last one is gone.
{on_sqlite} INSERT INTO sqlite_sequence (name, seq) SELECT 'subscriptions', seq FROM sqlite_sequence
{on_sqlite}     WHERE name = 'subscriptions_before';
{on_sqlite} INSERT INTO subscriptions (account_id, id, subscriber_id, form_id, sequence_id, tag_id, subscriber_state,
{on_sqlite}     source, referrer, confirmations, created_at, ended_at, confirmed_at)
{on_sqlite}     SELECT account_id, id, subscriber_id, form_id, sequence_id, tag_id, subscriber_state,
{on_sqlite}     source, referrer, confirmations, created_at, ended_at, confirmed_at FROM subscriptions_before ORDER BY id;
{on_sqlite} DROP TABLE subscriptions_before;
-- What a person may have once, by person; and by thing and state, which `page` merges into one order by id.
CREATE UNIQUE INDEX subscriptions_of_subscriber ON subscriptions
    (account_id, subscriber_id, COALESCE(tag_id, 0), COALESCE(form_id, 0), COALESCE(sequence_id, 0));
CREATE INDEX subscriptions_form_list ON subscriptions (account_id, form_id, subscriber_state, id) WHERE form_id IS NOT NULL;
CREATE INDEX subscriptions_sequence_list ON subscriptions (account_id, sequence_id, subscriber_state, id) WHERE sequence_id IS NOT NULL;
CREATE INDEX subscriptions_tag_list ON subscriptions (account_id, tag_id, subscriber_state, id) WHERE tag_id IS NOT NULL;
