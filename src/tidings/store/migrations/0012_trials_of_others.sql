-- Trials of what is no broadcast: an email of a sequence (`sequence-email:3`), a form's confirmation
-- (`form:7`). Their `broadcast_id` is 0; a confirmation is composed as it stands when it is sent.
ALTER TABLE trials ADD COLUMN owner TEXT NOT NULL DEFAULT '';
CREATE INDEX trials_of_owner ON trials (account_id, owner, id) WHERE owner <> '';
