-- An archived sequence mails nobody; who is inside stays where they are until it is opened again.
ALTER TABLE sequences ADD COLUMN archived_at BIGINT;
