-- +goose Up
-- Who handed a message over: role:NAME of whoever called the functions for producers, the id of a person or token, integration:NAME of what
-- a source brought. Messages of before have none. session_user is who signed in to the database: neither SET ROLE nor a function with the
-- rights of another changes it. The default is given apart from the column, or old rows would have it too.
ALTER TABLE redrive.messages ADD COLUMN sender text;
ALTER TABLE redrive.messages ALTER COLUMN sender SET DEFAULT 'role:' || session_user;

-- Messages that were not taken in, as their idempotency key had been used for another one. Written in the producer's transaction, so it is
-- only added to: nobody waits for a counter.
CREATE TABLE redrive.reused_keys (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    integration text NOT NULL, -- empty: an event
    type        text NOT NULL,
    message_id  uuid NOT NULL, -- who had the key first
    sender      text NOT NULL, -- of what was not taken in
    differs     text NOT NULL CHECK (differs IN ('sender', 'content', 'gone'))
);
CREATE INDEX reused_keys_at ON redrive.reused_keys (at);

-- What tells a message from the first one of its key. Of somebody else's nothing is compared, so that nobody can guess at it; nothing is said
-- of what came before senders were noted.
CREATE FUNCTION redrive.key_reuse(first uuid, p_sender text, p_type text, p_key text, p_payload bytea) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce(min(CASE WHEN m.sender IS NULL THEN '' WHEN m.sender <> p_sender THEN 'sender'
        WHEN (m.type, coalesce(m.key, ''), m.payload) IS DISTINCT FROM (p_type, coalesce(p_key, ''), p_payload) THEN 'content' ELSE '' END), 'gone')
    FROM redrive.messages m WHERE m.id = first
$$;

-- Calls that began before this migration pass the first two only.
DROP FUNCTION redrive.known_message(text, text);
-- +goose StatementBegin
CREATE FUNCTION redrive.known_message(p_scope text, p_key text, p_sender text DEFAULT NULL, p_type text DEFAULT NULL, p_message_key text DEFAULT NULL,
    p_payload bytea DEFAULT NULL) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    known uuid;
    differs text;
    says text;
BEGIN
    SELECT k.message_id INTO STRICT known FROM redrive.idempotency_keys k WHERE k.scope = p_scope AND k.key = p_key;
    IF p_sender IS NOT NULL THEN
        differs := redrive.key_reuse(known, p_sender, p_type, p_message_key, p_payload);
    END IF;
    IF differs <> '' THEN
        INSERT INTO redrive.reused_keys (integration, type, message_id, sender, differs) VALUES (p_scope, p_type, known, p_sender, differs);
        says := CASE differs WHEN 'sender' THEN 'the idempotency key was used by another sender' WHEN 'content' THEN
            'the idempotency key was used for a message of other type, key or payload' ELSE 'the idempotency key was used before, for a message that is kept no more' END;
        IF current_setting('redrive.reused_keys', true) = 'refuse' THEN
            RAISE EXCEPTION '%', says USING ERRCODE = 'RD007', HINT = 'use a key for one message only';
        ELSIF starts_with(p_sender, 'role:') THEN
            RAISE WARNING '%: this message is not taken in', says USING ERRCODE = 'RD007',
                HINT = 'use a key for one message only; SET redrive.reused_keys = ''refuse'' makes it an error';
        END IF;
    END IF;
    RETURN known;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION redrive.key_reuse, redrive.known_message FROM PUBLIC;

-- Events: the forms that producers call leave the sender to the default.
DROP FUNCTION redrive.publish_between(text, bytea, text, jsonb, text, timestamptz, timestamptz);
-- +goose StatementBegin
CREATE FUNCTION redrive.publish_between(type text, payload bytea, key text, headers jsonb, idempotency_key text, deliver_after timestamptz,
    expires_at timestamptz, sender text DEFAULT 'role:' || session_user) RETURNS uuid LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    message uuid;
BEGIN
    IF (headers = '{}' AND octet_length(type) <= 255 AND type ~ '^[!-~]+$' AND octet_length(payload) <= 10485760
        AND num_nulls(idempotency_key, deliver_after, expires_at) = 3 AND (key IS NULL OR octet_length(key) <= 1024
        AND key !~ E'[\\x01-\\x1f\\x7f-\\x9f]' AND getdatabaseencoding() = 'UTF8')) IS NOT TRUE THEN
        message := redrive.admit_message('', type, payload, key, headers, idempotency_key, deliver_after, expires_at);
        IF message IS NULL THEN
            RETURN redrive.known_message('', idempotency_key, sender, type, key, payload);
        END IF;
    END IF;
    INSERT INTO redrive.messages (id, kind, type, key, headers, payload, idempotency_key, deliver_after, expires_at, sender)
        VALUES (coalesce(message, redrive.new_id()), 'event', type, key, coalesce(headers, '{}'), payload, idempotency_key, deliver_after, expires_at,
            sender)
        RETURNING id INTO message;
    RETURN message;
END
$$;
-- +goose StatementEnd

-- Commands: all forms that producers call, and one for the program, which says on whose behalf it calls.
-- +goose StatementBegin
DO $migration$
DECLARE
    form record;
    made text;
BEGIN
    FOR form IN SELECT oid, proargtypes, pg_get_functiondef(oid) AS body FROM pg_proc
        WHERE pronamespace = 'redrive'::regnamespace AND proname = 'enqueue'
    LOOP
        made := replace(form.body, 'redrive.known_message(integration, idempotency_key)',
            format('redrive.known_message(integration, idempotency_key, %s, type, key, %s)', $$'role:' || session_user$$,
                CASE WHEN strpos(form.body, 'bytes bytea :=') > 0 THEN 'bytes' ELSE 'payload' END));
        EXECUTE made;
        IF form.oid = 'redrive.enqueue(text, text, bytea, text, jsonb, text, timestamptz, timestamptz)'::regprocedure THEN
            made := replace(replace(made, 'redrive.enqueue(', 'redrive.enqueue_from(sender text, '), $$'role:' || session_user$$, 'sender');
            made := replace(made, 'idempotency_key, deliver_after, expires_at)' || E'\n        VALUES', 'idempotency_key, deliver_after, expires_at, sender)' || E'\n        VALUES');
            EXECUTE replace(replace(made, E'deliver_after, expires_at)\n        RETURNING', E'deliver_after, expires_at, sender)\n        RETURNING'),
                ' SECURITY DEFINER', ' SECURITY INVOKER');
        END IF;
    END LOOP;
END
$migration$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION redrive.publish_between, redrive.enqueue_from FROM PUBLIC;

-- +goose Down
DROP FUNCTION redrive.enqueue_from;
-- +goose StatementBegin
DO $migration$
DECLARE
    form record;
    made text;
BEGIN
    FOR form IN SELECT proname, pg_get_functiondef(oid) AS body FROM pg_proc
        WHERE pronamespace = 'redrive'::regnamespace AND proname IN ('enqueue', 'publish_between')
    LOOP
        made := regexp_replace(form.body, '(redrive\.known_message\([^,]*, idempotency_key), [^)]*\)', '\1)');
        IF form.proname = 'publish_between' THEN
            DROP FUNCTION redrive.publish_between;
            made := regexp_replace(made, ', sender text DEFAULT [^\n]*\)\n', E')\n');
            made := regexp_replace(made, ',\s*sender\)', ')', 'g');
        END IF;
        EXECUTE made;
    END LOOP;
END
$migration$;
-- +goose StatementEnd
DROP FUNCTION redrive.known_message, redrive.key_reuse;
-- +goose StatementBegin
CREATE FUNCTION redrive.known_message(p_scope text, p_key text) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    known uuid;
BEGIN
    SELECT k.message_id INTO STRICT known FROM redrive.idempotency_keys k WHERE k.scope = p_scope AND k.key = p_key;
    RETURN known;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION redrive.known_message, redrive.publish_between FROM PUBLIC;
DROP TABLE redrive.reused_keys;
ALTER TABLE redrive.messages DROP COLUMN sender;
