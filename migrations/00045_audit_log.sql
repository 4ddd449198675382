-- +goose Up
-- The audit is a Merkle log: entry n is leaf n - 1 of a tree of RFC 6962, whose hashes are kept in tiles of 256, computed off the way of whoever
-- appends; checkpoints of it are signed and go outside. See docs/audit-format.md.

-- ---- time --------------------------------------------------------------------------------------------------------------------
-- The database says when an entry is: never earlier than the one before, nor when it pleases whoever appends.
ALTER TABLE redrive.audit_head
    ADD COLUMN at timestamptz NOT NULL DEFAULT '-infinity', -- of the newest entry
    ADD COLUMN granted timestamptz;                         -- what whoever computes entries themselves was given as their time
DROP TRIGGER audit_head_append ON redrive.audit_head;
UPDATE redrive.audit_head h SET at = a.at FROM redrive.audit a WHERE a.seq = h.seq;
CREATE TRIGGER audit_head_append BEFORE UPDATE OF only_row, seq, hash, at ON redrive.audit_head
    FOR EACH STATEMENT WHEN (pg_trigger_depth() < 1) EXECUTE FUNCTION redrive.audit_refuse();

-- +goose StatementBegin
CREATE FUNCTION redrive.audit_begin(OUT seq bigint, OUT hash bytea, OUT at timestamptz) LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
    -- the audit is locked for many entries until the transaction ends: the newest one, and the time of those that follow
    UPDATE redrive.audit_head h SET granted = greatest(clock_timestamp(), h.at) RETURNING h.seq, h.hash, h.granted
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION redrive.audit_append() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head redrive.audit_head%ROWTYPE;
BEGIN
    SELECT * INTO head FROM redrive.audit_head FOR UPDATE;
    NEW.seq := head.seq + 1;
    NEW.at := greatest(clock_timestamp(), head.at);
    NEW.prev_hash := head.hash;
    NEW.hash := redrive.audit_hash(NEW.prev_hash, NEW.seq, NEW.at, NEW.actor, NEW.action, NEW.subject_type, NEW.subject,
        NEW.reason, NEW.details);
    UPDATE redrive.audit_head SET seq = NEW.seq, hash = NEW.hash, at = NEW.at;
    RETURN NEW;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION redrive.audit_appended() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head redrive.audit_head%ROWTYPE;
    span record;
BEGIN
    SELECT count(*) AS n, min(seq) AS first, max(seq) AS last INTO span FROM new_rows;
    IF span.n = 0 THEN
        RETURN NULL;
    END IF;
    SELECT * INTO head FROM redrive.audit_head FOR UPDATE;
    IF span.n = 1 AND span.last = head.seq AND EXISTS (SELECT FROM new_rows WHERE hash = head.hash) THEN
        RETURN NULL; -- audit_append has seen to it
    END IF;
    IF span.last - span.first + 1 <> span.n OR span.first > head.seq + 1 OR span.last < head.seq OR EXISTS (
        SELECT FROM (SELECT *, lag(hash) OVER (ORDER BY seq) AS before FROM new_rows) e
        WHERE prev_hash IS DISTINCT FROM coalesce(before, CASE WHEN seq = 1 THEN '' ELSE (SELECT a.hash FROM redrive.audit a WHERE a.seq = e.seq - 1) END)
            OR hash IS DISTINCT FROM sha256(prev_hash || redrive.audit_entry(seq, at, actor, action, subject_type, subject, reason, details)))
    THEN
        RAISE EXCEPTION 'these entries do not continue the audit' USING ERRCODE = 'insufficient_privilege',
            HINT = 'leave number, time and hash to the database';
    END IF;
    -- what had happened before there was an audit may be told first, and says so; everything else has the time that was given
    IF EXISTS (SELECT FROM (SELECT *, lag(at) OVER (ORDER BY seq) AS earlier FROM new_rows) e WHERE seq > head.seq
        AND CASE WHEN head.seq = 0 AND head.granted IS NULL THEN details -> 'past' IS DISTINCT FROM 'true' OR at > clock_timestamp() OR at < earlier
            ELSE at IS DISTINCT FROM head.granted OR at < head.at END)
    THEN
        RAISE EXCEPTION 'these entries have a time that nobody gave them' USING ERRCODE = 'insufficient_privilege',
            HINT = 'redrive.audit_begin() gives it';
    END IF;
    UPDATE redrive.audit_head SET (seq, hash, at) = (SELECT e.seq, e.hash, e.at FROM new_rows e WHERE e.seq = span.last) WHERE audit_head.seq < span.last;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION redrive.audit_begin FROM PUBLIC;

-- ---- the tree ----------------------------------------------------------------------------------------------------------------
-- Hashes of complete subtrees, 256 of a level in a row: of level 0 each leaf, of level k the roots of 256^k leaves. What is known only grows.
CREATE TABLE redrive.audit_tiles (
    level  smallint NOT NULL,
    n      bigint NOT NULL,
    hashes bytea NOT NULL CHECK (octet_length(hashes) BETWEEN 32 AND 8192 AND octet_length(hashes) % 32 = 0),
    PRIMARY KEY (level, n)
);
ALTER TABLE redrive.audit_tiles ALTER COLUMN hashes SET STORAGE EXTERNAL; -- hashes cannot be compressed
-- +goose StatementBegin
CREATE FUNCTION redrive.audit_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.level, NEW.n) IS DISTINCT FROM (OLD.level, OLD.n) OR substring(NEW.hashes FOR octet_length(OLD.hashes)) <> OLD.hashes THEN
        RAISE EXCEPTION 'hashes of the audit are kept as they are' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER audit_tiles_grow BEFORE UPDATE ON redrive.audit_tiles FOR EACH ROW EXECUTE FUNCTION redrive.audit_grows();
CREATE TRIGGER audit_tiles_refuse BEFORE DELETE OR TRUNCATE ON redrive.audit_tiles FOR EACH STATEMENT EXECUTE FUNCTION redrive.audit_refuse();

-- ---- checkpoints ---------------------------------------------------------------------------------------------------------------
-- Who signs: the private half is sealed. A key that was replaced stays, so that what it signed can be checked.
CREATE TABLE redrive.audit_keys (
    id         uuid PRIMARY KEY,
    origin     text NOT NULL,
    public     text NOT NULL UNIQUE, -- as verifiers take it: name+hash+key
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at   timestamptz
);
CREATE TABLE redrive.audit_checkpoints (
    size bigint NOT NULL,
    at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    note text NOT NULL, -- the signed note
    PRIMARY KEY (size, note)
);
CREATE INDEX audit_checkpoints_at ON redrive.audit_checkpoints (at DESC);
CREATE TRIGGER audit_checkpoints_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON redrive.audit_checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION redrive.audit_refuse();
CREATE TABLE redrive.audit_cosignatures (
    size      bigint NOT NULL,
    witness   text NOT NULL,
    signature text NOT NULL, -- the line of the note
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (size, witness)
);
CREATE TRIGGER audit_cosignatures_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON redrive.audit_cosignatures
    FOR EACH STATEMENT EXECUTE FUNCTION redrive.audit_refuse();
-- How far each place outside is, and what is wrong with it.
CREATE TABLE redrive.audit_places (
    place   text PRIMARY KEY,
    size    bigint NOT NULL DEFAULT 0, -- entries that it has, or of which it has the checkpoint
    at      timestamptz,               -- when it last took something
    error   text NOT NULL DEFAULT '',
    since   timestamptz                -- when it began to fail
);

-- ---- retention -----------------------------------------------------------------------------------------------------------------
-- Old entries leave by segments of 4,096; their hashes stay in the tree, and that of the last one here, so that the chain goes on. Whoever asks for
-- it, the database keeps a year, and what no checkpoint covers.
CREATE TABLE redrive.audit_gone (
    upto  bigint PRIMARY KEY,                                 -- the number of the last entry of the segment
    hash  bytea NOT NULL,                                     -- of that entry
    until timestamptz NOT NULL,                               -- its time
    keep  interval NOT NULL CHECK (keep >= interval '1 year'), -- how old entries had to be
    at    timestamptz NOT NULL
);
-- +goose StatementBegin
CREATE FUNCTION redrive.audit_forget() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    before bigint := coalesce((SELECT max(upto) FROM redrive.audit_gone), 0);
BEGIN
    NEW.at := clock_timestamp();
    SELECT a.hash, a.at INTO NEW.hash, NEW.until FROM redrive.audit a WHERE a.seq = NEW.upto;
    IF NEW.upto <> before + 4096 OR NEW.until IS NULL OR NEW.until > least(NEW.at - NEW.keep, NEW.at - interval '1 year')
        OR NEW.upto > coalesce((SELECT max(size) FROM redrive.audit_checkpoints), 0)
        OR sha256('\x00'::bytea || NEW.hash) IS DISTINCT FROM (SELECT substring(hashes FROM 32 * 255 + 1) FROM redrive.audit_tiles WHERE level = 0 AND n = NEW.upto / 256 - 1)
    THEN
        RAISE EXCEPTION 'these entries of the audit stay: % is refused', NEW.upto USING ERRCODE = 'insufficient_privilege';
    END IF;
    DELETE FROM redrive.audit WHERE seq > before AND seq <= NEW.upto;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER audit_forget BEFORE INSERT ON redrive.audit_gone FOR EACH ROW EXECUTE FUNCTION redrive.audit_forget();
CREATE TRIGGER audit_gone_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON redrive.audit_gone
    FOR EACH STATEMENT EXECUTE FUNCTION redrive.audit_refuse();
DROP TRIGGER audit_refuse ON redrive.audit;
CREATE TRIGGER audit_refuse BEFORE UPDATE OR TRUNCATE ON redrive.audit FOR EACH STATEMENT EXECUTE FUNCTION redrive.audit_refuse();
-- entries leave only with a segment, that is inside audit_forget
CREATE TRIGGER audit_stays BEFORE DELETE ON redrive.audit
    FOR EACH STATEMENT WHEN (pg_trigger_depth() < 1) EXECUTE FUNCTION redrive.audit_refuse();

-- +goose Down
DROP TRIGGER audit_stays ON redrive.audit;
DROP TRIGGER audit_refuse ON redrive.audit;
CREATE TRIGGER audit_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON redrive.audit
    FOR EACH STATEMENT EXECUTE FUNCTION redrive.audit_refuse();
DROP TABLE redrive.audit_gone;
DROP FUNCTION redrive.audit_forget;
DROP TABLE redrive.audit_places, redrive.audit_cosignatures, redrive.audit_checkpoints, redrive.audit_keys, redrive.audit_tiles;
DROP FUNCTION redrive.audit_grows;
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION redrive.audit_append() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head redrive.audit_head%ROWTYPE;
BEGIN
    SELECT * INTO head FROM redrive.audit_head FOR UPDATE;
    NEW.seq := head.seq + 1;
    NEW.at := clock_timestamp();
    NEW.prev_hash := head.hash;
    NEW.hash := redrive.audit_hash(NEW.prev_hash, NEW.seq, NEW.at, NEW.actor, NEW.action, NEW.subject_type, NEW.subject,
        NEW.reason, NEW.details);
    UPDATE redrive.audit_head SET seq = NEW.seq, hash = NEW.hash;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION redrive.audit_appended() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head redrive.audit_head%ROWTYPE;
    span record;
BEGIN
    SELECT count(*) AS n, min(seq) AS first, max(seq) AS last INTO span FROM new_rows;
    IF span.n = 0 THEN
        RETURN NULL;
    END IF;
    SELECT * INTO head FROM redrive.audit_head FOR UPDATE;
    IF span.n = 1 AND span.last = head.seq AND EXISTS (SELECT FROM new_rows WHERE hash = head.hash) THEN
        RETURN NULL; -- audit_append has seen to it
    END IF;
    IF span.last - span.first + 1 <> span.n OR span.first > head.seq + 1 OR span.last < head.seq OR EXISTS (
        SELECT FROM (SELECT *, lag(hash) OVER (ORDER BY seq) AS before FROM new_rows) e
        WHERE prev_hash IS DISTINCT FROM coalesce(before, CASE WHEN seq = 1 THEN '' ELSE (SELECT a.hash FROM redrive.audit a WHERE a.seq = e.seq - 1) END)
            OR hash IS DISTINCT FROM sha256(prev_hash || redrive.audit_entry(seq, at, actor, action, subject_type, subject, reason, details)))
    THEN
        RAISE EXCEPTION 'these entries do not continue the audit' USING ERRCODE = 'insufficient_privilege',
            HINT = 'leave number, time and hash to the database';
    END IF;
    UPDATE redrive.audit_head SET (seq, hash) = (SELECT e.seq, e.hash FROM new_rows e WHERE e.seq = span.last) WHERE audit_head.seq < span.last;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
DROP FUNCTION redrive.audit_begin;
DROP TRIGGER audit_head_append ON redrive.audit_head;
CREATE TRIGGER audit_head_append BEFORE UPDATE ON redrive.audit_head
    FOR EACH STATEMENT WHEN (pg_trigger_depth() < 1) EXECUTE FUNCTION redrive.audit_refuse();
ALTER TABLE redrive.audit_head DROP COLUMN granted, DROP COLUMN at;
