-- +goose Up
-- A message may have no payload at all, which is not the same as an empty one: on Kafka it is a tombstone.
ALTER TABLE redrive.messages ALTER COLUMN payload DROP NOT NULL;
-- +goose StatementBegin
DO $$
DECLARE
    partition regclass;
BEGIN
    FOR partition IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'redrive.messages'::regclass LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN payload DROP NOT NULL', partition);
    END LOOP;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION redrive.valid_message(type text, headers jsonb, payload bytea, deliver_after timestamptz, expires_at timestamptz,
    origin jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT type <> '' AND jsonb_typeof(headers) = 'object' AND (payload IS NULL OR octet_length(payload) <= 10485760 OR origin IS NOT NULL)
        -- infinity and years that RFC 3339 cannot write would stop whoever reads the row
        AND coalesce(least(deliver_after, expires_at) >= '0001-01-01Z' AND greatest(deliver_after, expires_at) < '10000-01-01Z', true)
$$;
-- +goose StatementEnd

-- What producers hand over is refused where a wire would change it. This is the twin of delivery.CheckMessage in the program: a test
-- compares the two. Lengths count as UTF-8, in which everything travels. In these bodies a pattern with a backslash is an E'' string,
-- which means the same whatever a producer's session makes of others.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION redrive.check_headers(headers jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    h record;
BEGIN
    IF jsonb_typeof(headers) <> 'object' THEN
        RAISE EXCEPTION 'the headers are not a JSON object' USING ERRCODE = 'RD005';
    ELSIF (SELECT count(*) > 64 OR count(DISTINCT lower(k COLLATE "C")) < count(*) FROM jsonb_object_keys(headers) k) THEN
        RAISE EXCEPTION 'there are more than 64 headers, or one is given twice' USING ERRCODE = 'RD005',
            HINT = 'letter case does not tell header names apart';
    END IF;
    FOR h IN SELECT e.key, e.value #>> '{}' AS value, jsonb_typeof(e.value) = 'string' AS is_text FROM jsonb_each(headers) e LOOP
        IF h.key !~ '^[!#$%&''*+.^_`|~0-9A-Za-z-]{1,255}$' THEN
            RAISE EXCEPTION '"%" is not a header name', h.key USING ERRCODE = 'RD005';
        ELSIF h.is_text IS NOT TRUE OR h.value ~ E'[\\x01-\\x08\\x0a-\\x1f\\x7f-\\x9f]' OR octet_length(convert_to(h.value, 'UTF8')) > 8192 THEN
            RAISE EXCEPTION 'the value of header "%" is not one line of text', h.key USING ERRCODE = 'RD005',
                HINT = 'use a JSON string without line breaks or control characters, at most 8 KiB';
        ELSIF h.value ~ E'^[ \\t]|[ \\t]$' THEN
            RAISE EXCEPTION 'the value of header "%" begins or ends with a blank', h.key USING ERRCODE = 'RD005',
                HINT = 'HTTP takes blanks away at both ends of a header: send the value without them';
        END IF;
    END LOOP;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION redrive.check_message(p_type text, p_payload bytea, p_key text, p_headers jsonb, p_idempotency_key text,
    p_deliver_after timestamptz, p_expires_at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF getdatabaseencoding() = 'SQL_ASCII' THEN
        PERFORM redrive.utf8('type', p_type), redrive.utf8('key', p_key), redrive.utf8('headers', p_headers::text);
    END IF;
    IF p_type IS NULL OR btrim(p_type, ' ') = '' THEN
        RAISE EXCEPTION 'the message type is missing' USING ERRCODE = 'RD002';
    ELSIF octet_length(p_payload) > 10485760 THEN
        RAISE EXCEPTION 'the payload has % bytes, more than 10 MiB', octet_length(p_payload) USING ERRCODE = 'RD004';
    ELSIF octet_length(convert_to(p_type, 'UTF8')) > 255 OR octet_length(convert_to(p_key, 'UTF8')) > 1024 OR octet_length(p_idempotency_key) > 255 THEN
        RAISE EXCEPTION 'type and idempotency key may have 255 bytes, key 1024' USING ERRCODE = 'RD006';
    ELSIF p_type ~ E'[\\x01-\\x1f\\x7f-\\x9f]' OR p_key ~ E'[\\x01-\\x1f\\x7f-\\x9f]' THEN
        RAISE EXCEPTION 'type and key are one line of text, without control characters' USING ERRCODE = 'RD006';
    ELSIF p_idempotency_key !~ '^[!-~]([ -~]*[!-~])?$' THEN
        RAISE EXCEPTION 'the idempotency key travels as a header: printable ASCII only, without blanks at its ends' USING ERRCODE = 'RD006';
    ELSIF least(p_deliver_after, p_expires_at) < '0001-01-01Z' OR greatest(p_deliver_after, p_expires_at) >= '10000-01-01Z' THEN
        RAISE EXCEPTION 'deliver_after and expires_at must be times of the years 1 to 9999' USING ERRCODE = 'RD006',
            HINT = 'leave out what has no limit instead of passing infinity';
    ELSIF p_expires_at <= p_deliver_after THEN
        RAISE EXCEPTION 'expires_at must be after deliver_after, or nothing could ever be sent' USING ERRCODE = 'RD006';
    ELSIF p_headers <> '{}' THEN
        PERFORM redrive.check_headers(p_headers);
    END IF;
END
$$;
-- +goose StatementEnd

-- utf8 answers a text as the bytes that travel. Only a database with encoding SQL_ASCII can hold text that is no UTF-8.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION redrive.utf8(what text, given text) RETURNS bytea LANGUAGE plpgsql AS $$
BEGIN
    RETURN convert_to(given, 'UTF8');
EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN
    RAISE EXCEPTION 'the % is text that is not UTF-8', what USING ERRCODE = 'RD006',
        HINT = 'a payload of any bytes is passed as bytea: cast it, for example $1::bytea or convert_to(text, ''SQL_ASCII'')';
END
$$;
-- +goose StatementEnd

-- A row says that producers may be older than the forms below. Until then bytes needed no type, and some drivers write them as a literal
-- in bytea's hex form, which is a text now. While the row is there, a text that is nothing but that is still taken for the bytes.
CREATE TABLE redrive.earlier_producers (since timestamptz PRIMARY KEY);
INSERT INTO redrive.earlier_producers SELECT now() WHERE EXISTS (SELECT FROM redrive.messages) OR EXISTS (SELECT FROM redrive.deliveries);

-- is_document says whether bytes are a JSON object or array; null for what is no UTF-8.
-- +goose StatementBegin
CREATE FUNCTION redrive.is_document(bytes bytea) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RETURN json_typeof(convert_from(bytes, 'UTF8')::json) IN ('object', 'array');
EXCEPTION
    WHEN character_not_in_repertoire OR untranslatable_character THEN RETURN NULL;
    WHEN invalid_text_representation THEN RETURN false;
END
$$;
-- +goose StatementEnd

-- text_payload answers the bytes of a payload that was given as text, for what producers' functions do not see at a glance.
-- +goose StatementBegin
CREATE FUNCTION redrive.text_payload(payload text) RETURNS bytea LANGUAGE plpgsql AS $$
BEGIN
    IF payload IS NULL THEN
        RAISE EXCEPTION 'the payload is null' USING ERRCODE = 'RD003',
            HINT = 'pass NULL::bytea for a message without payload, an empty text for an empty one';
    END IF;
    IF payload ~ E'^\\\\x([0-9A-Fa-f]{2})*$' THEN
        IF EXISTS (SELECT FROM redrive.earlier_producers) THEN
            RETURN decode(substr(payload, 3), 'hex');
        ELSIF redrive.is_document(decode(substr(payload, 3), 'hex')) IS NOT FALSE THEN
            RAISE EXCEPTION 'the payload is a text in the hex form of bytea, of bytes that are no UTF-8 or a JSON document' USING ERRCODE = 'RD006',
                HINT = 'a driver has written bytes without their type: cast them, for example $1::bytea; text stays text by convert_to($1, ''UTF8'')';
        END IF;
    END IF;
    RETURN redrive.utf8('payload', payload);
END
$$;
-- +goose StatementEnd

-- text_headers reads headers that were given as text.
-- +goose StatementBegin
CREATE FUNCTION redrive.text_headers(headers text) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    -- jsonb would keep the last of two of one name, and tell nobody
    IF json_typeof(headers::json) = 'object' AND (SELECT count(DISTINCT lower(k COLLATE "C")) < count(*) FROM json_object_keys(headers::json) k) THEN
        RAISE EXCEPTION 'there are more than 64 headers, or one is given twice' USING ERRCODE = 'RD005',
            HINT = 'letter case does not tell header names apart';
    END IF;
    RETURN headers::jsonb;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION redrive.publish_between(type text, payload bytea, key text, headers jsonb, idempotency_key text,
    deliver_after timestamptz, expires_at timestamptz) RETURNS uuid LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    message uuid;
BEGIN
    IF (headers = '{}' AND octet_length(type) <= 255 AND type ~ '^[!-~]+$' AND octet_length(payload) <= 10485760
        AND num_nulls(idempotency_key, deliver_after, expires_at) = 3 AND (key IS NULL OR octet_length(key) <= 1024
        AND key !~ E'[\\x01-\\x1f\\x7f-\\x9f]' AND getdatabaseencoding() = 'UTF8')) IS NOT TRUE THEN
        message := redrive.admit_message('', type, payload, key, headers, idempotency_key, deliver_after, expires_at);
        IF message IS NULL THEN
            RETURN redrive.known_message('', idempotency_key);
        END IF;
    END IF;
    INSERT INTO redrive.messages (id, kind, type, key, headers, payload, idempotency_key, deliver_after, expires_at)
        VALUES (coalesce(message, redrive.new_id()), 'event', type, key, coalesce(headers, '{}'), payload, idempotency_key, deliver_after, expires_at)
        RETURNING id INTO message;
    RETURN message;
END
$$;
-- +goose StatementEnd

-- What may be passed as headers by name when no key is: see below.
CREATE DOMAIN redrive.headers_text AS text;

-- enqueue and publish take their payload as bytea, text, json or jsonb, and their headers as jsonb or text. Postgres takes what has
-- no type for text where text is possible, and rather for text than for a domain over it. So that each call finds exactly one
-- function, headers that are text have no default: a first form has them by position, behind the key, a second one by name alone.
-- One body, written out for each form: a call of one from another would cost every producer.
-- +goose StatementBegin
DO $migration$
DECLARE
    enqueue CONSTANT text := $template$
CREATE OR REPLACE FUNCTION redrive.enqueue(integration text, type text, payload {payload}, {arguments}, deliver_after timestamptz DEFAULT NULL,
    expires_at timestamptz DEFAULT NULL) RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
#variable_conflict use_variable
DECLARE
    message uuid;
    bytes bytea := {bytes};
    fields jsonb := {fields};
    is_ordered boolean := (SELECT i.ordered FROM redrive.integrations i WHERE i.name = integration AND i.active);
BEGIN
    -- nearly all messages are plain, which one expression tells; what it cannot tell is looked at part by part
    IF is_ordered IS NULL THEN
        RAISE EXCEPTION 'no integration is named "%"', integration USING ERRCODE = 'RD001',
            HINT = 'add it to the integrations file and start redrive once, or correct the name';
    ELSIF (fields = '{}' AND octet_length(type) <= 255 AND type ~ '^[!-~]+$' AND octet_length(bytes) <= 10485760
        AND num_nulls(idempotency_key, deliver_after, expires_at) = 3 AND (key IS NULL OR octet_length(key) <= 1024
        AND key !~ E'[\\x01-\\x1f\\x7f-\\x9f]' AND getdatabaseencoding() = 'UTF8')) IS NOT TRUE THEN
        message := redrive.admit_message(integration, type, bytes, key, fields, idempotency_key, deliver_after, expires_at);
        IF message IS NULL THEN
            RETURN redrive.known_message(integration, idempotency_key);
        END IF;
    END IF;
    INSERT INTO redrive.messages (id, kind, integration, type, key, headers, payload, idempotency_key, deliver_after, expires_at)
        VALUES (coalesce(message, redrive.new_id()), 'command', integration, type, key, coalesce(fields, '{}'), bytes, idempotency_key,
            deliver_after, expires_at)
        RETURNING id INTO message;
    INSERT INTO redrive.queue (id, message_id, integration, due_at, lane)
        VALUES (redrive.new_id(), message, integration,
            CASE WHEN is_ordered AND key <> '' THEN 'infinity' ELSE greatest(clock_timestamp(), deliver_after) END,
            CASE WHEN is_ordered THEN nullif(key, '') END);
    RETURN message;
END
$body$$template$;
    -- an event is one row of the log; the relay's position marks it
    publish CONSTANT text := $template$
CREATE OR REPLACE FUNCTION redrive.publish(type text, payload {payload}, {arguments}) RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    RETURN redrive.publish_between(type, {bytes}, key, {fields}, idempotency_key, NULL, NULL);
END
$body$$template$;
    form      record;
    template  text;
    known     oid[] := ARRAY(SELECT oid FROM pg_proc WHERE pronamespace = 'redrive'::regnamespace AND proname IN ('enqueue', 'publish'));
    made      record;
    permitted record;
BEGIN
    FOR form IN SELECT * FROM (VALUES
            ('bytea', 'payload'),
            ('text', $$CASE WHEN getdatabaseencoding() = 'UTF8' AND NOT starts_with(payload, E'\\x') THEN convert_to(payload, 'UTF8') ELSE redrive.text_payload(payload) END$$),
            ('json', $$CASE WHEN getdatabaseencoding() = 'UTF8' AND payload IS NOT NULL THEN convert_to(payload::text, 'UTF8') ELSE redrive.text_payload(payload::text) END$$),
            ('jsonb', $$CASE WHEN getdatabaseencoding() = 'UTF8' AND payload IS NOT NULL THEN convert_to(payload::text, 'UTF8') ELSE redrive.text_payload(payload::text) END$$)
        ) p (payload, bytes) CROSS JOIN (VALUES
            ('key text DEFAULT NULL, headers jsonb DEFAULT ''{}'', idempotency_key text DEFAULT NULL', 'headers'),
            ('key text, headers text, idempotency_key text DEFAULT NULL', 'redrive.text_headers(headers)'),
            ('headers redrive.headers_text, key text DEFAULT NULL, idempotency_key text DEFAULT NULL', 'redrive.text_headers(headers)')
        ) h (arguments, fields)
    LOOP
        FOREACH template IN ARRAY ARRAY[enqueue, publish] LOOP
            EXECUTE replace(replace(replace(replace(template, '{payload}', form.payload), '{arguments}', form.arguments),
                '{bytes}', form.bytes), '{fields}', form.fields);
        END LOOP;
    END LOOP;

    -- the new forms belong to whom the old ones belong, and have the rights that an administrator gave or took
    FOR made IN SELECT f.oid::regprocedure AS name, f.oid, old.proowner, old.proacl FROM pg_proc f JOIN pg_proc old ON old.oid = ANY(known)
        AND old.proname = f.proname WHERE f.pronamespace = 'redrive'::regnamespace AND f.proname IN ('enqueue', 'publish') AND f.oid <> ALL(known)
    LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO %I', made.name, made.proowner::regrole);
        FOR permitted IN SELECT DISTINCT grantee FROM pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner))) WHERE pg_proc.oid = made.oid LOOP
            EXECUTE format('REVOKE ALL ON FUNCTION %s FROM %s', made.name, CASE permitted.grantee WHEN 0 THEN 'PUBLIC' ELSE permitted.grantee::regrole::text END);
        END LOOP;
        FOR permitted IN SELECT grantee, bool_or(is_grantable) AS further FROM aclexplode(coalesce(made.proacl, acldefault('f', made.proowner)))
            GROUP BY grantee
        LOOP
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', made.name, CASE permitted.grantee WHEN 0 THEN 'PUBLIC'
                ELSE permitted.grantee::regrole::text || CASE WHEN permitted.further THEN ' WITH GRANT OPTION' ELSE '' END END);
        END LOOP;
    END LOOP;
END
$migration$;
-- +goose StatementEnd

REVOKE ALL ON FUNCTION redrive.utf8, redrive.is_document, redrive.text_payload, redrive.text_headers FROM PUBLIC;

-- +goose Down
-- The checks stay as they are: what they refuse arrived altered before.
-- +goose StatementBegin
DO $$
DECLARE
    form regprocedure;
BEGIN
    FOR form IN SELECT oid FROM pg_proc WHERE pronamespace = 'redrive'::regnamespace AND proname IN ('enqueue', 'publish')
        AND oid NOT IN ('redrive.enqueue(text, text, bytea, text, jsonb, text, timestamptz, timestamptz)'::regprocedure,
            'redrive.publish(text, bytea, text, jsonb, text)'::regprocedure)
    LOOP
        EXECUTE format('DROP FUNCTION %s', form);
    END LOOP;
END
$$;
-- +goose StatementEnd
DROP DOMAIN redrive.headers_text;
DROP FUNCTION redrive.text_payload, redrive.is_document, redrive.text_headers;
DROP TABLE redrive.earlier_producers;
ALTER TABLE redrive.messages ALTER COLUMN payload SET NOT NULL;
