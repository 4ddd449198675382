-- +goose Up
-- What the codes of an app are made of is sealed by the program, which has the key: rows of before at its next start, each at once.
ALTER TABLE redrive.totp
    ALTER COLUMN secret DROP NOT NULL,
    ADD COLUMN sealed bytea,
    ADD CONSTRAINT totp_sealed CHECK (num_nonnulls(secret, sealed) = 1);

-- Grants that follow from groups at a provider come and go with them; those that a person gave stay.
ALTER TABLE redrive.grants
    ADD COLUMN provided boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT grants_provided CHECK (NOT provided OR operator_id IS NOT NULL);

-- A sign-in under way that anybody may begin is kept by the browser, sealed with this key; here is noted only that one has ended. The key
-- signs nobody in: the answer of the provider or of the authenticator does.
CREATE TABLE redrive.sign_in_key (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    key      bytea NOT NULL CHECK (length(key) = 32)
);
INSERT INTO redrive.sign_in_key (key) SELECT sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));
DELETE FROM redrive.challenges WHERE operator_id IS NULL AND used_at IS NULL;

-- Forms that strangers typed wait here while they are at the provider: those of one address make room for each other first.
ALTER TABLE redrive.challenges ADD COLUMN address text;

-- +goose Down
ALTER TABLE redrive.challenges DROP COLUMN address;
DROP TABLE redrive.sign_in_key;
ALTER TABLE redrive.grants DROP COLUMN provided;
-- Nobody can open what is sealed: such codes fit no more, and recovery codes or an administrator help.
UPDATE redrive.totp SET secret = sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), sealed = NULL WHERE secret IS NULL;
ALTER TABLE redrive.totp DROP COLUMN sealed, ALTER COLUMN secret SET NOT NULL;
