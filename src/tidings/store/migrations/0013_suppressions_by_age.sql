-- A page of suppressions, newest first. They are written one by one, and rarely.
CREATE INDEX suppressions_by_age ON suppressions (account_id, created_at, digest);
