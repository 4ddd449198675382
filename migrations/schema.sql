-- The schema as all migrations leave it, to read. Generated: make starter && ./.cache/test-starter -- go test ./migrations -update
-- Left out: partitions, of which a day's is made when its first message comes, and the extension pg_trgm.

CREATE DOMAIN redrive.headers_json AS json;

CREATE DOMAIN redrive.headers_text AS text;

CREATE SEQUENCE redrive.lease_token;

CREATE TABLE redrive.actors (
    id text NOT NULL,
    name text NOT NULL,
    CONSTRAINT actors_pkey PRIMARY KEY (id)
);

CREATE TABLE redrive.api_tokens (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    name text NOT NULL,
    role text NOT NULL,
    created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    revoked_at timestamp with time zone,
    of_setting boolean NOT NULL DEFAULT false,
    operator_id uuid,
    CONSTRAINT api_tokens_pkey PRIMARY KEY (id),
    CONSTRAINT api_tokens_role_check CHECK ((role = ANY (ARRAY[''::text, 'viewer'::text, 'on-call'::text, 'operator'::text, 'reviewer'::text, 'auditor'::text, 'admin'::text]))),
    CONSTRAINT api_tokens_operator_id_fkey FOREIGN KEY (operator_id) REFERENCES redrive.operators(id) ON DELETE CASCADE
);
CREATE INDEX api_tokens_operator ON redrive.api_tokens USING btree (operator_id) WHERE (operator_id IS NOT NULL);
CREATE UNIQUE INDEX api_tokens_setting ON redrive.api_tokens USING btree (of_setting) WHERE of_setting;
CREATE TRIGGER actor_named AFTER INSERT OR UPDATE OF name ON redrive.api_tokens FOR EACH ROW EXECUTE FUNCTION redrive.actor_named();

CREATE TABLE redrive.approval_items (
    approval_id uuid NOT NULL,
    n integer NOT NULL,
    delivery_id uuid NOT NULL,
    integration text NOT NULL,
    version integer NOT NULL,
    CONSTRAINT approval_items_pkey PRIMARY KEY (approval_id, n),
    CONSTRAINT approval_items_approval_id_fkey FOREIGN KEY (approval_id) REFERENCES redrive.approvals(id) ON DELETE CASCADE
);

CREATE TABLE redrive.approvals (
    id uuid NOT NULL,
    state text NOT NULL DEFAULT 'open'::text,
    kind text NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    actor text NOT NULL,
    person text,
    reason text NOT NULL DEFAULT ''::text,
    rules text[] NOT NULL,
    integrations text[] NOT NULL,
    items integer NOT NULL DEFAULT 0,
    token text,
    request bytea,
    bound bytea NOT NULL,
    hash text NOT NULL,
    created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamp with time zone NOT NULL,
    decided_at timestamp with time zone,
    decided_by text,
    comment text,
    void_because jsonb,
    result text,
    CONSTRAINT approvals_pkey PRIMARY KEY (id),
    CONSTRAINT approval_by_another CHECK (((state <> ALL (ARRAY['approved'::text, 'rejected'::text])) OR ((decided_by IS DISTINCT FROM actor) AND (decided_by IS DISTINCT FROM person)))),
    CONSTRAINT approval_decided CHECK (((state = 'open'::text) = (decided_at IS NULL))),
    CONSTRAINT approvals_state_check CHECK ((state = ANY (ARRAY['open'::text, 'approved'::text, 'rejected'::text, 'withdrawn'::text, 'void'::text, 'expired'::text]))),
    CONSTRAINT approvals_token_key UNIQUE (token)
);
CREATE INDEX approvals_expire ON redrive.approvals USING btree (expires_at) WHERE (state = 'open'::text);
CREATE INDEX approvals_listed ON redrive.approvals USING btree (created_at DESC, id DESC);
CREATE INDEX approvals_open ON redrive.approvals USING btree (created_at DESC, id DESC) WHERE (state = 'open'::text);
CREATE INDEX approvals_person ON redrive.approvals USING btree (person, created_at DESC, id DESC);

CREATE TABLE redrive.attempts (
    delivery_id uuid NOT NULL,
    token bigint NOT NULL,
    number integer NOT NULL,
    started_at timestamp with time zone NOT NULL,
    duration_ms integer NOT NULL,
    outcome text NOT NULL,
    late text,
    error_class text NOT NULL DEFAULT ''::text,
    error text NOT NULL DEFAULT ''::text,
    http_status smallint,
    response bytea,
    recorded_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    exchange jsonb,
    CONSTRAINT attempts_outcome_check CHECK ((outcome = ANY (ARRAY['transient'::text, 'permanent'::text, 'unknown'::text, 'late'::text])))
) PARTITION BY RANGE (recorded_at);
CREATE INDEX attempts_delivery ON ONLY redrive.attempts USING btree (delivery_id);

CREATE TABLE redrive.audit (
    seq bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    subject_type text NOT NULL,
    subject text NOT NULL,
    reason text NOT NULL DEFAULT ''::text,
    details jsonb NOT NULL DEFAULT '{}'::jsonb,
    prev_hash bytea NOT NULL,
    hash bytea NOT NULL,
    CONSTRAINT audit_pkey PRIMARY KEY (seq)
);
CREATE INDEX audit_action ON redrive.audit USING btree (action, seq DESC);
CREATE INDEX audit_actor ON redrive.audit USING btree (actor, seq DESC);
CREATE INDEX audit_actor_id ON redrive.audit USING btree (((details ->> 'actor_id'::text)), seq DESC) WHERE ((details ->> 'actor_id'::text) IS NOT NULL);
CREATE INDEX audit_at ON redrive.audit USING btree (at, seq);
CREATE INDEX audit_data_subject ON redrive.audit USING gin (string_to_array((details ->> 'data_subject'::text), ','::text)) WHERE ((details ->> 'data_subject'::text) IS NOT NULL);
CREATE INDEX audit_decisions ON redrive.audit USING btree (seq DESC) WHERE ((details ->> 'operation'::text) IS NULL);
CREATE INDEX audit_decisions_actor ON redrive.audit USING btree (((details ->> 'actor_id'::text)), seq DESC) WHERE ((details ->> 'operation'::text) IS NULL);
CREATE INDEX audit_decisions_category ON redrive.audit USING btree (((details ->> 'category'::text)), seq DESC) WHERE (((details ->> 'operation'::text) IS NULL) AND ((details ->> 'category'::text) IS NOT NULL));
CREATE INDEX audit_decisions_deed ON redrive.audit USING btree ((
CASE action
    WHEN 'operation.start'::text THEN ('delivery.'::text || (details ->> 'action'::text))
    ELSE action
END), seq DESC) WHERE ((details ->> 'operation'::text) IS NULL);
CREATE INDEX audit_decisions_integration ON redrive.audit USING btree ((
CASE subject_type
    WHEN 'integration'::text THEN subject
    ELSE (details ->> 'integration'::text)
END), seq DESC) WHERE ((details ->> 'operation'::text) IS NULL);
CREATE INDEX audit_decisions_many ON redrive.audit USING btree (seq DESC) WHERE (((details ->> 'operation'::text) IS NULL) AND ((subject_type = ANY (ARRAY['operation'::text, 'message'::text])) OR (action = 'delivery.redirect'::text)));
CREATE INDEX audit_decisions_subject_type ON redrive.audit USING btree (subject_type, seq DESC) WHERE ((details ->> 'operation'::text) IS NULL);
CREATE INDEX audit_items ON redrive.audit USING btree (((details ->> 'operation'::text)), seq DESC) WHERE ((details ->> 'operation'::text) IS NOT NULL);
CREATE INDEX audit_subject ON redrive.audit USING btree (subject, seq DESC);
CREATE TRIGGER audit_append BEFORE INSERT ON redrive.audit FOR EACH ROW WHEN ((new.hash IS NULL)) EXECUTE FUNCTION redrive.audit_append();
CREATE TRIGGER audit_appended AFTER INSERT ON redrive.audit REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION redrive.audit_appended();
CREATE TRIGGER audit_refuse BEFORE UPDATE OR TRUNCATE ON redrive.audit FOR EACH STATEMENT EXECUTE FUNCTION redrive.audit_refuse();
CREATE TRIGGER audit_stays BEFORE DELETE ON redrive.audit FOR EACH STATEMENT WHEN ((pg_trigger_depth() < 1)) EXECUTE FUNCTION redrive.audit_refuse();

CREATE TABLE redrive.audit_checkpoints (
    size bigint NOT NULL,
    at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    note text NOT NULL,
    CONSTRAINT audit_checkpoints_pkey PRIMARY KEY (size, note)
);
CREATE INDEX audit_checkpoints_at ON redrive.audit_checkpoints USING btree (at DESC);
CREATE TRIGGER audit_checkpoints_refuse BEFORE DELETE OR UPDATE OR TRUNCATE ON redrive.audit_checkpoints FOR EACH STATEMENT EXECUTE FUNCTION redrive.audit_refuse();

CREATE TABLE redrive.audit_cosignatures (
    size bigint NOT NULL,
    witness text NOT NULL,
    signature text NOT NULL,
    at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT audit_cosignatures_pkey PRIMARY KEY (size, witness)
);
CREATE TRIGGER audit_cosignatures_refuse BEFORE DELETE OR UPDATE OR TRUNCATE ON redrive.audit_cosignatures FOR EACH STATEMENT EXECUTE FUNCTION redrive.audit_refuse();

CREATE TABLE redrive.audit_gone (
    upto bigint NOT NULL,
    hash bytea NOT NULL,
    until timestamp with time zone NOT NULL,
    keep interval NOT NULL,
    at timestamp with time zone NOT NULL,
    CONSTRAINT audit_gone_pkey PRIMARY KEY (upto),
    CONSTRAINT audit_gone_keep_check CHECK ((keep >= '1 year'::interval))
);
CREATE TRIGGER audit_forget BEFORE INSERT ON redrive.audit_gone FOR EACH ROW EXECUTE FUNCTION redrive.audit_forget();
CREATE TRIGGER audit_gone_refuse BEFORE DELETE OR UPDATE OR TRUNCATE ON redrive.audit_gone FOR EACH STATEMENT EXECUTE FUNCTION redrive.audit_refuse();

CREATE TABLE redrive.audit_head (
    only_row boolean NOT NULL DEFAULT true,
    seq bigint NOT NULL,
    hash bytea NOT NULL,
    at timestamp with time zone NOT NULL DEFAULT '-infinity'::timestamp with time zone,
    granted timestamp with time zone,
    CONSTRAINT audit_head_pkey PRIMARY KEY (only_row),
    CONSTRAINT audit_head_only_row_check CHECK (only_row)
);
CREATE TRIGGER audit_head_append BEFORE UPDATE OF only_row, seq, hash, at ON redrive.audit_head FOR EACH STATEMENT WHEN ((pg_trigger_depth() < 1)) EXECUTE FUNCTION redrive.audit_refuse();
CREATE TRIGGER audit_head_refuse BEFORE INSERT OR DELETE OR TRUNCATE ON redrive.audit_head FOR EACH STATEMENT EXECUTE FUNCTION redrive.audit_refuse();

CREATE TABLE redrive.audit_keys (
    id uuid NOT NULL,
    origin text NOT NULL,
    public text NOT NULL,
    sealed bytea NOT NULL,
    created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamp with time zone,
    CONSTRAINT audit_keys_pkey PRIMARY KEY (id),
    CONSTRAINT audit_keys_public_key UNIQUE (public)
);

CREATE TABLE redrive.audit_places (
    place text NOT NULL,
    size bigint NOT NULL DEFAULT 0,
    at timestamp with time zone,
    error text NOT NULL DEFAULT ''::text,
    since timestamp with time zone,
    CONSTRAINT audit_places_pkey PRIMARY KEY (place)
);

CREATE TABLE redrive.audit_tiles (
    level smallint NOT NULL,
    n bigint NOT NULL,
    hashes bytea STORAGE EXTERNAL NOT NULL,
    CONSTRAINT audit_tiles_pkey PRIMARY KEY (level, n),
    CONSTRAINT audit_tiles_hashes_check CHECK ((((octet_length(hashes) >= 32) AND (octet_length(hashes) <= 8192)) AND ((octet_length(hashes) % 32) = 0)))
);
CREATE TRIGGER audit_tiles_grow BEFORE UPDATE ON redrive.audit_tiles FOR EACH ROW EXECUTE FUNCTION redrive.audit_grows();
CREATE TRIGGER audit_tiles_refuse BEFORE DELETE OR TRUNCATE ON redrive.audit_tiles FOR EACH STATEMENT EXECUTE FUNCTION redrive.audit_refuse();

CREATE TABLE redrive.batch_acknowledgements (
    integration text NOT NULL,
    name text NOT NULL,
    sha256 text NOT NULL,
    modified_at timestamp with time zone NOT NULL,
    handled_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT batch_acknowledgements_pkey PRIMARY KEY (integration, name, sha256, modified_at)
);

CREATE TABLE redrive.batch_feeds (
    integration text NOT NULL,
    sequence bigint NOT NULL DEFAULT 0,
    snapshot pg_snapshot,
    database_id text,
    last_sha256 text NOT NULL DEFAULT ''::text,
    last_scheduled_at timestamp with time zone,
    next_scheduled_at timestamp with time zone,
    CONSTRAINT batch_feeds_pkey PRIMARY KEY (integration)
);

CREATE TABLE redrive.batch_files (
    id uuid NOT NULL,
    integration text NOT NULL,
    business_date date NOT NULL,
    sequence bigint NOT NULL,
    name text NOT NULL,
    rows bigint NOT NULL,
    bytes bigint NOT NULL,
    sha256 text NOT NULL,
    control_total text NOT NULL DEFAULT ''::text,
    previous_sha256 text NOT NULL DEFAULT ''::text,
    correction_of bigint,
    format jsonb NOT NULL,
    created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    acknowledgement text,
    acknowledged_at timestamp with time zone,
    CONSTRAINT batch_files_pkey PRIMARY KEY (id),
    CONSTRAINT batch_files_acknowledgement_check CHECK ((acknowledgement = ANY (ARRAY['accepted'::text, 'rejected'::text, 'partly'::text]))),
    CONSTRAINT batch_files_check CHECK (((acknowledgement IS NULL) = (acknowledged_at IS NULL))),
    CONSTRAINT batch_files_integration_name_key UNIQUE (integration, name),
    CONSTRAINT batch_files_integration_sequence_key UNIQUE (integration, sequence)
);

CREATE TABLE redrive.batch_parts (
    file_id uuid NOT NULL,
    n integer NOT NULL,
    bytes bytea STORAGE EXTERNAL NOT NULL,
    CONSTRAINT batch_parts_pkey PRIMARY KEY (file_id, n)
);

CREATE TABLE redrive.batch_rows (
    delivery_id uuid NOT NULL,
    file_id uuid NOT NULL,
    "row" bigint NOT NULL,
    correction_id uuid,
    correction_row bigint,
    CONSTRAINT batch_rows_pkey PRIMARY KEY (delivery_id),
    CONSTRAINT batch_rows_check CHECK (((correction_id IS NULL) = (correction_row IS NULL))),
    CONSTRAINT batch_rows_file_id_row_key UNIQUE (file_id, "row")
);
CREATE INDEX batch_rows_correction ON redrive.batch_rows USING btree (correction_id, correction_row) WHERE (correction_id IS NOT NULL);

CREATE TABLE redrive.batch_runs (
    id uuid NOT NULL DEFAULT redrive.new_id(),
    integration text NOT NULL,
    business_date date,
    dated boolean NOT NULL DEFAULT false,
    scheduled_at timestamp with time zone NOT NULL,
    trigger text NOT NULL,
    requested_by text NOT NULL DEFAULT ''::text,
    reason text NOT NULL DEFAULT ''::text,
    state text NOT NULL DEFAULT 'queued'::text,
    attempts integer NOT NULL DEFAULT 0,
    due_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    rows bigint NOT NULL DEFAULT 0,
    error jsonb,
    created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    file_id uuid,
    delivery_id uuid,
    because jsonb,
    CONSTRAINT batch_runs_pkey PRIMARY KEY (id),
    CONSTRAINT batch_runs_check CHECK (((state = 'stored'::text) = (file_id IS NOT NULL))),
    CONSTRAINT batch_runs_check1 CHECK (((state = ANY (ARRAY['empty'::text, 'stored'::text, 'failed'::text, 'skipped'::text])) = (finished_at IS NOT NULL))),
    CONSTRAINT batch_runs_state_check CHECK ((state = ANY (ARRAY['queued'::text, 'running'::text, 'empty'::text, 'stored'::text, 'failed'::text, 'skipped'::text]))),
    CONSTRAINT batch_runs_trigger_check CHECK ((trigger = ANY (ARRAY['schedule'::text, 'manual'::text, 'correction'::text])))
);
CREATE UNIQUE INDEX batch_runs_delivery ON redrive.batch_runs USING btree (delivery_id) WHERE (delivery_id IS NOT NULL);
CREATE INDEX batch_runs_list ON redrive.batch_runs USING btree (integration, id DESC);
CREATE INDEX batch_runs_open ON redrive.batch_runs USING btree (integration, scheduled_at, id) WHERE (state = ANY (ARRAY['queued'::text, 'running'::text]));
CREATE UNIQUE INDEX batch_runs_scheduled ON redrive.batch_runs USING btree (integration, scheduled_at) WHERE (trigger = 'schedule'::text);

CREATE TABLE redrive.capture_gaps (
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    integration text NOT NULL,
    table_name text NOT NULL,
    from_lsn pg_lsn NOT NULL,
    stopped_lsn pg_lsn NOT NULL,
    to_lsn pg_lsn,
    why jsonb NOT NULL,
    note jsonb,
    found_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    closed_at timestamp with time zone,
    CONSTRAINT capture_gaps_pkey PRIMARY KEY (id),
    CONSTRAINT capture_gaps_check CHECK (((to_lsn IS NULL) = (closed_at IS NULL)))
);
CREATE UNIQUE INDEX capture_gaps_open ON redrive.capture_gaps USING btree (integration, table_name) WHERE (closed_at IS NULL);

CREATE TABLE redrive.captures (
    integration text NOT NULL,
    system_identifier text NOT NULL DEFAULT ''::text,
    slot text NOT NULL DEFAULT ''::text,
    lsn pg_lsn NOT NULL DEFAULT '0/0'::pg_lsn,
    committed_at timestamp with time zone,
    changes bigint NOT NULL DEFAULT 0,
    snapshot jsonb NOT NULL DEFAULT '{}'::jsonb,
    resnapshot_at timestamp with time zone,
    updated_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    tables jsonb NOT NULL DEFAULT '{}'::jsonb,
    verified pg_lsn NOT NULL DEFAULT '0/0'::pg_lsn,
    resnapshot_tables text[] NOT NULL DEFAULT '{}'::text[],
    CONSTRAINT captures_pkey PRIMARY KEY (integration)
);

CREATE TABLE redrive.cases (
    delivery_id uuid NOT NULL,
    version integer NOT NULL DEFAULT 1,
    acknowledged_by text,
    assignee text,
    tags text[] NOT NULL DEFAULT '{}'::text[],
    ticket text,
    changed_by text NOT NULL DEFAULT ''::text,
    changed_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT cases_pkey PRIMARY KEY (delivery_id)
);
CREATE INDEX cases_tags ON redrive.cases USING gin (tags);
CREATE INDEX cases_ticket ON redrive.cases USING btree (ticket) WHERE (ticket IS NOT NULL);
CREATE TRIGGER case_changed AFTER UPDATE ON redrive.cases FOR EACH ROW WHEN (((new.assignee IS DISTINCT FROM old.assignee) OR (new.tags IS DISTINCT FROM old.tags))) EXECUTE FUNCTION redrive.case_listed();
CREATE TRIGGER case_kept AFTER INSERT ON redrive.cases FOR EACH ROW WHEN (((new.assignee IS NOT NULL) OR (new.tags <> '{}'::text[]))) EXECUTE FUNCTION redrive.case_listed();

CREATE TABLE redrive.challenges (
    hash bytea NOT NULL,
    kind text NOT NULL,
    operator_id uuid,
    data bytea NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone,
    address text,
    CONSTRAINT challenges_pkey PRIMARY KEY (hash),
    CONSTRAINT challenges_operator_id_fkey FOREIGN KEY (operator_id) REFERENCES redrive.operators(id) ON DELETE CASCADE
);
CREATE INDEX challenges_expiry ON redrive.challenges USING btree (expires_at);
CREATE INDEX challenges_operator ON redrive.challenges USING btree (operator_id);

CREATE TABLE redrive.counting (
    only_row boolean NOT NULL DEFAULT true,
    dead_changes bigint NOT NULL DEFAULT 0,
    pruned_at timestamp with time zone NOT NULL DEFAULT '-infinity'::timestamp with time zone,
    trend_hour timestamp with time zone NOT NULL DEFAULT '-infinity'::timestamp with time zone,
    CONSTRAINT counting_pkey PRIMARY KEY (only_row),
    CONSTRAINT counting_only_row_check CHECK (only_row)
);

CREATE TABLE redrive.data_keys (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    owner text NOT NULL,
    sealed bytea NOT NULL,
    key_id text NOT NULL,
    version integer NOT NULL DEFAULT 1,
    created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    sealed_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT data_keys_pkey PRIMARY KEY (id),
    CONSTRAINT data_keys_owner_key UNIQUE (owner)
);

CREATE TABLE redrive.deliveries (
    id uuid NOT NULL,
    message_id uuid NOT NULL,
    integration text NOT NULL,
    state text NOT NULL,
    version integer NOT NULL DEFAULT 1,
    attempts integer NOT NULL DEFAULT 0,
    crashes smallint NOT NULL DEFAULT 0,
    error_class text,
    group_id text,
    created_at timestamp with time zone NOT NULL,
    failed_at timestamp with time zone,
    changed_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    dead_at timestamp with time zone,
    settled_at timestamp with time zone,
    retry_requested_at timestamp with time zone,
    last_token bigint,
    started_at timestamp with time zone,
    duration_ms integer,
    http_status smallint,
    operation_id uuid,
    operation_item integer,
    edit integer,
    acknowledged_at timestamp with time zone,
    key text,
    type text,
    expires_at timestamp with time zone,
    actor text,
    assignee text,
    tags text[],
    CONSTRAINT deliveries_pkey PRIMARY KEY (id),
    CONSTRAINT deliveries_check CHECK (((state = 'dead'::text) = (dead_at IS NOT NULL))),
    CONSTRAINT deliveries_check1 CHECK (((state = ANY (ARRAY['delivered'::text, 'ignored'::text, 'resolved'::text])) = (settled_at IS NOT NULL))),
    CONSTRAINT deliveries_check2 CHECK (((acknowledged_at IS NULL) OR (state = 'dead'::text))),
    CONSTRAINT deliveries_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'delivered'::text, 'dead'::text, 'ignored'::text, 'resolved'::text])))
);
CREATE INDEX deliveries_acknowledged ON redrive.deliveries USING btree (changed_at DESC, id DESC) WHERE ((state = 'dead'::text) AND (acknowledged_at IS NOT NULL));
CREATE INDEX deliveries_actor ON redrive.deliveries USING btree (actor, state, changed_at DESC, id DESC) WHERE ((actor IS NOT NULL) AND (state <> 'pending'::text));
CREATE INDEX deliveries_assignee ON redrive.deliveries USING btree (assignee, state, changed_at DESC, id DESC) WHERE ((assignee IS NOT NULL) AND (state <> 'pending'::text));
CREATE INDEX deliveries_attempts ON redrive.deliveries USING btree (attempts, state, changed_at DESC, id DESC) WHERE (state = ANY (ARRAY['dead'::text, 'ignored'::text, 'resolved'::text]));
CREATE INDEX deliveries_dead ON redrive.deliveries USING btree (changed_at DESC, id DESC) WHERE (state = 'dead'::text);
CREATE INDEX deliveries_dead_group ON redrive.deliveries USING btree (group_id, changed_at DESC, id DESC) WHERE (state = 'dead'::text);
CREATE INDEX deliveries_dead_integration ON redrive.deliveries USING btree (integration, changed_at DESC, id DESC) WHERE (state = 'dead'::text);
CREATE INDEX deliveries_group_assignee ON redrive.deliveries USING btree (group_id, assignee) WHERE ((state = 'dead'::text) AND (assignee IS NOT NULL));
CREATE INDEX deliveries_id_end ON redrive.deliveries USING btree ("right"((id)::text, 8)) WHERE (failed_at IS NOT NULL);
CREATE INDEX deliveries_ignored ON redrive.deliveries USING btree (changed_at DESC, id DESC) WHERE (state = 'ignored'::text);
CREATE INDEX deliveries_ignored_group ON redrive.deliveries USING btree (group_id, changed_at DESC, id DESC) WHERE (state = 'ignored'::text);
CREATE INDEX deliveries_ignored_integration ON redrive.deliveries USING btree (integration, changed_at DESC, id DESC) WHERE (state = 'ignored'::text);
CREATE INDEX deliveries_key ON redrive.deliveries USING btree (key, state, changed_at DESC, id DESC) WHERE ((key IS NOT NULL) AND (state <> 'pending'::text));
CREATE INDEX deliveries_message ON redrive.deliveries USING btree (message_id);
CREATE INDEX deliveries_recovered ON redrive.deliveries USING btree (changed_at DESC, id DESC) WHERE ((state = 'delivered'::text) AND (failed_at IS NOT NULL));
CREATE INDEX deliveries_recovered_group ON redrive.deliveries USING btree (group_id, changed_at DESC, id DESC) WHERE ((state = 'delivered'::text) AND (failed_at IS NOT NULL));
CREATE INDEX deliveries_recovered_integration ON redrive.deliveries USING btree (integration, changed_at DESC, id DESC) WHERE ((state = 'delivered'::text) AND (failed_at IS NOT NULL));
CREATE INDEX deliveries_resolved ON redrive.deliveries USING btree (changed_at DESC, id DESC) WHERE (state = 'resolved'::text);
CREATE INDEX deliveries_resolved_group ON redrive.deliveries USING btree (group_id, changed_at DESC, id DESC) WHERE (state = 'resolved'::text);
CREATE INDEX deliveries_resolved_integration ON redrive.deliveries USING btree (integration, changed_at DESC, id DESC) WHERE (state = 'resolved'::text);
CREATE INDEX deliveries_retrying ON redrive.deliveries USING btree (changed_at DESC, id DESC) WHERE (state = 'pending'::text);
CREATE INDEX deliveries_retrying_group ON redrive.deliveries USING btree (group_id, changed_at DESC, id DESC) WHERE (state = 'pending'::text);
CREATE INDEX deliveries_retrying_integration ON redrive.deliveries USING btree (integration, changed_at DESC, id DESC) WHERE (state = 'pending'::text);
CREATE INDEX deliveries_tagged ON redrive.deliveries USING btree (state, changed_at DESC, id DESC) WHERE (tags IS NOT NULL);
CREATE TRIGGER record_counted AFTER UPDATE ON redrive.deliveries REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION redrive.record_counted();
CREATE TRIGGER record_inserted AFTER INSERT ON redrive.deliveries REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION redrive.record_inserted();
CREATE TRIGGER record_updated AFTER UPDATE ON redrive.deliveries REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION redrive.record_updated();

CREATE TABLE redrive.earlier_producers (
    since timestamp with time zone NOT NULL,
    CONSTRAINT earlier_producers_pkey PRIMARY KEY (since)
);

CREATE TABLE redrive.edits (
    delivery_id uuid NOT NULL,
    number integer NOT NULL,
    payload bytea STORAGE EXTERNAL,
    headers jsonb NOT NULL DEFAULT '{}'::jsonb,
    actor text NOT NULL,
    reason text NOT NULL,
    after_attempt integer NOT NULL,
    created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    dropped boolean NOT NULL DEFAULT false,
    CONSTRAINT edits_pkey PRIMARY KEY (delivery_id, number),
    CONSTRAINT edits_number_check CHECK ((number > 1)),
    CONSTRAINT edits_reason_check CHECK ((reason <> ''::text))
);

CREATE TABLE redrive.failure_details (
    delivery_id uuid NOT NULL,
    error text NOT NULL DEFAULT ''::text,
    actor text,
    action text,
    acted_at timestamp with time zone,
    reason text,
    category text,
    until timestamp with time zone,
    evidence text,
    end_id bigint,
    rule_id bigint,
    because jsonb,
    CONSTRAINT failure_details_pkey PRIMARY KEY (delivery_id)
);
CREATE INDEX failure_details_category ON redrive.failure_details USING btree (category) WHERE (category IS NOT NULL);
CREATE INDEX failure_details_end ON redrive.failure_details USING btree (end_id, delivery_id) WHERE (end_id IS NOT NULL);
CREATE INDEX failure_details_rule ON redrive.failure_details USING btree (rule_id, delivery_id) WHERE (rule_id IS NOT NULL);
CREATE INDEX failure_details_until ON redrive.failure_details USING btree (until) WHERE (until IS NOT NULL);

CREATE TABLE redrive.form_tokens (
    token uuid NOT NULL,
    at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT form_tokens_pkey PRIMARY KEY (token)
);
CREATE INDEX form_tokens_at ON redrive.form_tokens USING btree (at);

CREATE TABLE redrive.gaps (
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    integration text NOT NULL,
    place text NOT NULL,
    began_at timestamp with time zone,
    ended_at timestamp with time zone,
    what jsonb,
    noted_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    partition integer,
    from_offset bigint,
    to_offset bigint,
    records bigint,
    notice boolean NOT NULL DEFAULT false,
    CONSTRAINT gaps_pkey PRIMARY KEY (id)
);
CREATE INDEX gaps_integration ON redrive.gaps USING btree (integration, id DESC);

CREATE TABLE redrive.grants (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    operator_id uuid,
    token_id uuid,
    role text NOT NULL DEFAULT ''::text,
    permissions text[] NOT NULL DEFAULT '{}'::text[],
    integrations text[] NOT NULL DEFAULT '{}'::text[],
    labels jsonb NOT NULL DEFAULT '{}'::jsonb,
    created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    provided boolean NOT NULL DEFAULT false,
    CONSTRAINT grants_pkey PRIMARY KEY (id),
    CONSTRAINT grants_check CHECK ((num_nonnulls(operator_id, token_id) = 1)),
    CONSTRAINT grants_check1 CHECK (((role <> ''::text) OR (permissions <> '{}'::text[]))),
    CONSTRAINT grants_provided CHECK (((NOT provided) OR (operator_id IS NOT NULL))),
    CONSTRAINT grants_role_check CHECK ((role = ANY (ARRAY[''::text, 'viewer'::text, 'on-call'::text, 'operator'::text, 'reviewer'::text, 'auditor'::text, 'admin'::text]))),
    CONSTRAINT grants_operator_id_fkey FOREIGN KEY (operator_id) REFERENCES redrive.operators(id) ON DELETE CASCADE,
    CONSTRAINT grants_token_id_fkey FOREIGN KEY (token_id) REFERENCES redrive.api_tokens(id) ON DELETE CASCADE
);
CREATE INDEX grants_operator ON redrive.grants USING btree (operator_id) WHERE (operator_id IS NOT NULL);
CREATE INDEX grants_token ON redrive.grants USING btree (token_id) WHERE (token_id IS NOT NULL);

CREATE TABLE redrive.group_counts (
    group_id text NOT NULL,
    dead bigint NOT NULL DEFAULT 0,
    acknowledged bigint NOT NULL DEFAULT 0,
    pending bigint NOT NULL DEFAULT 0,
    ignored bigint NOT NULL DEFAULT 0,
    resolved bigint NOT NULL DEFAULT 0,
    delivered bigint NOT NULL DEFAULT 0,
    died bigint NOT NULL DEFAULT 0,
    settled_at timestamp with time zone,
    regressed_at timestamp with time zone,
    day bigint NOT NULL DEFAULT 0,
    day_before bigint NOT NULL DEFAULT 0,
    week bigint NOT NULL DEFAULT 0,
    week_before bigint NOT NULL DEFAULT 0,
    growth bigint GENERATED ALWAYS AS (((GREATEST(LEAST((day - day_before), (1073741824)::bigint), ('-1073741824'::integer)::bigint) * '4294967296'::bigint) + dead)) STORED,
    integration text NOT NULL DEFAULT ''::text,
    error_class text NOT NULL DEFAULT ''::text,
    first_seen timestamp with time zone NOT NULL DEFAULT '-infinity'::timestamp with time zone,
    last_seen timestamp with time zone NOT NULL DEFAULT '-infinity'::timestamp with time zone,
    total bigint GENERATED ALWAYS AS (((((dead + pending) + ignored) + resolved) + delivered)) STORED,
    grew bigint GENERATED ALWAYS AS ((GREATEST(LEAST((day - day_before), (1073741824)::bigint), ('-1073741824'::integer)::bigint) * '4294967296'::bigint)) STORED,
    pattern integer GENERATED ALWAYS AS (redrive.group_pattern(dead, pending, ignored, resolved, delivered, (regressed_at IS NOT NULL))) STORED,
    came bigint NOT NULL DEFAULT 0,
    CONSTRAINT group_counts_pkey PRIMARY KEY (group_id)
) WITH (fillfactor=50);
CREATE INDEX group_counts_class ON redrive.group_counts USING btree (error_class);
CREATE INDEX group_counts_dead ON redrive.group_counts USING btree (dead DESC, group_id DESC) WHERE (dead > 0);
CREATE INDEX group_counts_delivered ON redrive.group_counts USING btree (delivered DESC, group_id DESC) WHERE (delivered > 0);
CREATE INDEX group_counts_growth ON redrive.group_counts USING btree (growth DESC, group_id DESC) WHERE (dead > 0);
CREATE INDEX group_counts_growth_delivered ON redrive.group_counts USING btree (((grew + delivered)) DESC, group_id DESC) WHERE (delivered > 0);
CREATE INDEX group_counts_growth_ignored ON redrive.group_counts USING btree (((grew + ignored)) DESC, group_id DESC) WHERE (ignored > 0);
CREATE INDEX group_counts_growth_pending ON redrive.group_counts USING btree (((grew + pending)) DESC, group_id DESC) WHERE (pending > 0);
CREATE INDEX group_counts_growth_resolved ON redrive.group_counts USING btree (((grew + resolved)) DESC, group_id DESC) WHERE (resolved > 0);
CREATE INDEX group_counts_growth_total ON redrive.group_counts USING btree (((grew + total)) DESC, group_id DESC) WHERE (total > 0);
CREATE INDEX group_counts_ignored ON redrive.group_counts USING btree (ignored DESC, group_id DESC) WHERE (ignored > 0);
CREATE INDEX group_counts_integration ON redrive.group_counts USING btree (integration, growth DESC, group_id DESC) WHERE (dead > 0);
CREATE INDEX group_counts_integration_latest ON redrive.group_counts USING btree (integration, last_seen DESC, group_id DESC);
CREATE INDEX group_counts_latest ON redrive.group_counts USING btree (last_seen DESC, group_id DESC);
CREATE INDEX group_counts_newest ON redrive.group_counts USING btree (first_seen DESC, group_id DESC);
CREATE INDEX group_counts_pending ON redrive.group_counts USING btree (pending DESC, group_id DESC) WHERE (pending > 0);
CREATE INDEX group_counts_regressed ON redrive.group_counts USING btree (group_id) WHERE (regressed_at IS NOT NULL);
CREATE INDEX group_counts_resolved ON redrive.group_counts USING btree (resolved DESC, group_id DESC) WHERE (resolved > 0);
CREATE INDEX group_counts_settled ON redrive.group_counts USING btree (total DESC, group_id DESC) WHERE ((dead = 0) AND (pending = 0));
CREATE INDEX group_counts_total ON redrive.group_counts USING btree (total DESC, group_id DESC) WHERE (total > 0);
CREATE TRIGGER groups_inserted AFTER INSERT ON redrive.group_counts REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION redrive.groups_inserted();
CREATE TRIGGER groups_updated AFTER UPDATE ON redrive.group_counts REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION redrive.groups_updated();

CREATE TABLE redrive.group_deltas (
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    group_id text NOT NULL,
    at timestamp with time zone NOT NULL DEFAULT statement_timestamp(),
    dead integer NOT NULL,
    acknowledged integer NOT NULL,
    pending integer NOT NULL,
    ignored integer NOT NULL,
    resolved integer NOT NULL,
    delivered integer NOT NULL,
    failed integer NOT NULL,
    died integer NOT NULL,
    came integer NOT NULL DEFAULT 0,
    reopened integer NOT NULL DEFAULT 0,
    CONSTRAINT group_deltas_pkey PRIMARY KEY (id)
) WITH (autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=5000, autovacuum_vacuum_cost_delay=0);

CREATE TABLE redrive.group_hours (
    group_id text NOT NULL,
    hour timestamp with time zone NOT NULL,
    failed bigint NOT NULL,
    came bigint NOT NULL DEFAULT 0,
    CONSTRAINT group_hours_pkey PRIMARY KEY (group_id, hour)
) WITH (fillfactor=50);
CREATE INDEX group_hours_hour ON redrive.group_hours USING btree (hour);

CREATE TABLE redrive.group_retries (
    group_id text NOT NULL,
    operation_id uuid NOT NULL,
    selected integer NOT NULL,
    succeeded integer,
    failed integer,
    CONSTRAINT group_retries_pkey PRIMARY KEY (group_id)
) WITH (fillfactor=80);

CREATE TABLE redrive.group_sum_hours (
    integration text NOT NULL,
    error_class text NOT NULL,
    hour timestamp with time zone NOT NULL,
    failed bigint NOT NULL,
    came bigint NOT NULL,
    CONSTRAINT group_sum_hours_pkey PRIMARY KEY (hour, integration, error_class)
) WITH (fillfactor=50);

CREATE TABLE redrive.group_sums (
    integration text NOT NULL,
    error_class text NOT NULL,
    pattern integer NOT NULL,
    groups bigint NOT NULL,
    dead bigint NOT NULL,
    acknowledged bigint NOT NULL,
    pending bigint NOT NULL,
    ignored bigint NOT NULL,
    resolved bigint NOT NULL,
    delivered bigint NOT NULL,
    day bigint NOT NULL,
    day_before bigint NOT NULL,
    week bigint NOT NULL,
    week_before bigint NOT NULL,
    first_seen timestamp with time zone NOT NULL,
    last_seen timestamp with time zone NOT NULL,
    CONSTRAINT group_sums_pkey PRIMARY KEY (integration, error_class, pattern)
) WITH (fillfactor=50);

CREATE TABLE redrive.groups (
    id text NOT NULL,
    integration text NOT NULL,
    error_class text NOT NULL,
    message text NOT NULL,
    first_seen timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    last_seen timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    types text[] NOT NULL DEFAULT '{}'::text[],
    CONSTRAINT groups_pkey PRIMARY KEY (id)
);
CREATE INDEX groups_integration ON redrive.groups USING btree (integration, error_class);
CREATE INDEX groups_message ON redrive.groups USING hash (message);
CREATE INDEX groups_pairs ON redrive.groups USING gin (redrive.pairs(message));
CREATE INDEX groups_text ON redrive.groups USING gin (message redrive.gin_trgm_ops);

CREATE TABLE redrive.health (
    integration text NOT NULL,
    part text NOT NULL,
    worker text NOT NULL,
    status text NOT NULL,
    since timestamp with time zone NOT NULL,
    last_success_at timestamp with time zone,
    last_error_at timestamp with time zone,
    last_error jsonb,
    seen_at timestamp with time zone NOT NULL,
    CONSTRAINT health_pkey PRIMARY KEY (integration, part, worker),
    CONSTRAINT health_status_check CHECK ((status = ANY (ARRAY['ok'::text, 'degraded'::text])))
) WITH (fillfactor=70);

CREATE TABLE redrive.hourly (
    integration text NOT NULL,
    hour timestamp with time zone NOT NULL,
    delivered bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    CONSTRAINT hourly_pkey PRIMARY KEY (integration, hour)
) WITH (fillfactor=50);

CREATE TABLE redrive.idempotency_keys (
    scope text NOT NULL,
    key text NOT NULL,
    message_id uuid NOT NULL,
    created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (scope, key)
);

CREATE TABLE redrive.ignore_ends (
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    decision uuid NOT NULL,
    group_id text NOT NULL,
    count integer,
    grows double precision,
    day bigint NOT NULL,
    reached_came bigint,
    reached_day bigint,
    made_at timestamp with time zone NOT NULL DEFAULT statement_timestamp(),
    ended_at timestamp with time zone,
    done_at timestamp with time zone,
    CONSTRAINT ignore_ends_pkey PRIMARY KEY (id),
    CONSTRAINT ignore_ends_check CHECK ((num_nonnulls(reached_came, reached_day) = 1)),
    CONSTRAINT ignore_ends_check1 CHECK (((done_at IS NULL) OR (ended_at IS NOT NULL))),
    CONSTRAINT ignore_ends_decision_group_id_key UNIQUE (decision, group_id)
) WITH (fillfactor=80);
CREATE INDEX ignore_ends_due ON redrive.ignore_ends USING btree (id) WHERE ((ended_at IS NOT NULL) AND (done_at IS NULL));
CREATE INDEX ignore_ends_group ON redrive.ignore_ends USING btree (group_id) WHERE (ended_at IS NULL);

CREATE TABLE redrive.ignore_rule_hours (
    rule_id bigint NOT NULL,
    hour timestamp with time zone NOT NULL,
    swallowed bigint NOT NULL,
    last_at timestamp with time zone NOT NULL,
    CONSTRAINT ignore_rule_hours_pkey PRIMARY KEY (rule_id, hour)
) WITH (fillfactor=50);

CREATE TABLE redrive.ignore_rules (
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    integration text NOT NULL,
    filter jsonb NOT NULL DEFAULT '{}'::jsonb,
    reason text NOT NULL,
    category text,
    until timestamp with time zone,
    count integer,
    grows double precision,
    for_good boolean NOT NULL DEFAULT false,
    day bigint NOT NULL DEFAULT 0,
    reached_day bigint,
    of_file boolean NOT NULL DEFAULT false,
    made_at timestamp with time zone NOT NULL DEFAULT statement_timestamp(),
    made_by text NOT NULL,
    ended_at timestamp with time zone,
    ended_by text,
    ended_because jsonb,
    end_reason text NOT NULL DEFAULT ''::text,
    done_at timestamp with time zone,
    CONSTRAINT ignore_rules_pkey PRIMARY KEY (id),
    CONSTRAINT ignore_rules_check CHECK (((num_nonnulls(until, count, grows) + (for_good)::integer) = 1)),
    CONSTRAINT ignore_rules_check1 CHECK (((grows IS NULL) = (reached_day IS NULL))),
    CONSTRAINT ignore_rules_check2 CHECK (((ended_at IS NULL) = (ended_by IS NULL))),
    CONSTRAINT ignore_rules_check3 CHECK (((done_at IS NULL) OR (ended_at IS NOT NULL))),
    CONSTRAINT ignore_rules_reason_check CHECK ((reason <> ''::text))
);
CREATE INDEX ignore_rules_due ON redrive.ignore_rules USING btree (id) WHERE ((ended_at IS NOT NULL) AND (done_at IS NULL));
CREATE UNIQUE INDEX ignore_rules_file ON redrive.ignore_rules USING btree (integration) WHERE (of_file AND (ended_at IS NULL));
CREATE INDEX ignore_rules_open ON redrive.ignore_rules USING btree (integration, id) WHERE (ended_at IS NULL);

CREATE TABLE redrive.inbox (
    integration text NOT NULL,
    key text NOT NULL,
    state text NOT NULL,
    at timestamp with time zone NOT NULL DEFAULT statement_timestamp(),
    CONSTRAINT inbox_pkey PRIMARY KEY (integration, key),
    CONSTRAINT inbox_state_check CHECK ((state = ANY (ARRAY['started'::text, 'done'::text])))
) WITH (fillfactor=90);
CREATE INDEX inbox_at ON redrive.inbox USING brin (at) WITH (pages_per_range='16');

CREATE TABLE redrive.integrations (
    name text NOT NULL,
    method text NOT NULL,
    destination text NOT NULL,
    address text NOT NULL DEFAULT ''::text,
    description text NOT NULL DEFAULT ''::text,
    subscribe text[] NOT NULL DEFAULT '{}'::text[],
    mask text[] NOT NULL DEFAULT '{}'::text[],
    active boolean NOT NULL DEFAULT true,
    paused_at timestamp with time zone,
    paused_by text,
    pause_reason text,
    breaker text NOT NULL DEFAULT 'closed'::text,
    breaker_until timestamp with time zone,
    updated_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    ordered boolean NOT NULL DEFAULT false,
    on_dead text NOT NULL DEFAULT 'block'::text,
    windowed boolean NOT NULL DEFAULT false,
    pause_says jsonb,
    labels jsonb NOT NULL DEFAULT '{}'::jsonb,
    paused_until timestamp with time zone,
    subject text NOT NULL DEFAULT ''::text,
    four_eyes jsonb NOT NULL DEFAULT '{}'::jsonb,
    settings_hash text NOT NULL DEFAULT ''::text,
    CONSTRAINT integrations_pkey PRIMARY KEY (name),
    CONSTRAINT integrations_breaker_check CHECK ((breaker = ANY (ARRAY['closed'::text, 'open'::text, 'half-open'::text]))),
    CONSTRAINT integrations_name_check CHECK ((name ~ '^[a-z0-9-]{1,63}$'::text)),
    CONSTRAINT integrations_on_dead_check CHECK ((on_dead = ANY (ARRAY['block'::text, 'skip'::text]))),
    CONSTRAINT paused_until_needs_pause CHECK (((paused_until IS NULL) OR (paused_at IS NOT NULL)))
);
CREATE INDEX integrations_subscribe ON redrive.integrations USING gin (subscribe);

CREATE TABLE redrive.lanes (
    integration text NOT NULL,
    key text NOT NULL,
    head uuid NOT NULL,
    next bigint NOT NULL,
    CONSTRAINT lanes_pkey PRIMARY KEY (integration, key),
    CONSTRAINT lanes_head_key UNIQUE (head)
) WITH (fillfactor=70);

CREATE TABLE redrive.listeners (
    integration text NOT NULL,
    place text NOT NULL,
    worker text NOT NULL,
    since timestamp with time zone NOT NULL,
    heard_at timestamp with time zone NOT NULL,
    beat_at timestamp with time zone,
    gap_from timestamp with time zone,
    CONSTRAINT listeners_pkey PRIMARY KEY (integration, place, worker)
) WITH (fillfactor=70);

CREATE TABLE redrive.looks (
    operator_id uuid NOT NULL,
    seen_until timestamp with time zone NOT NULL,
    CONSTRAINT looks_pkey PRIMARY KEY (operator_id),
    CONSTRAINT looks_operator_id_fkey FOREIGN KEY (operator_id) REFERENCES redrive.operators(id) ON DELETE CASCADE
);

CREATE TABLE redrive.messages (
    id uuid NOT NULL,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    kind text NOT NULL,
    integration text,
    type text NOT NULL,
    key text,
    headers jsonb NOT NULL DEFAULT '{}'::jsonb,
    payload bytea STORAGE EXTERNAL,
    idempotency_key text,
    deliver_after timestamp with time zone,
    expires_at timestamp with time zone,
    created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    origin jsonb,
    sender text DEFAULT ('role:'::text || (SESSION_USER)::text),
    CONSTRAINT messages_pkey PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE INDEX messages_key ON ONLY redrive.messages USING btree (key, id DESC) WHERE (key IS NOT NULL);
CREATE INDEX messages_log ON ONLY redrive.messages USING btree (xid) WHERE (kind = 'event'::text);

CREATE TABLE redrive.notes (
    id uuid NOT NULL,
    delivery_id uuid NOT NULL,
    at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    author text NOT NULL,
    text text NOT NULL,
    CONSTRAINT notes_pkey PRIMARY KEY (id)
);
CREATE INDEX notes_delivery ON redrive.notes USING btree (delivery_id, at);

CREATE TABLE redrive.operation_deltas (
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    operation_id uuid NOT NULL,
    integration text NOT NULL,
    succeeded integer NOT NULL,
    failed integer NOT NULL,
    failing integer NOT NULL,
    wave integer NOT NULL DEFAULT 1,
    withdrawn integer NOT NULL DEFAULT 0,
    CONSTRAINT operation_deltas_pkey PRIMARY KEY (id)
);
CREATE INDEX operation_deltas_operation ON redrive.operation_deltas USING btree (operation_id);

CREATE TABLE redrive.operation_items (
    operation_id uuid NOT NULL,
    n integer NOT NULL,
    delivery_id uuid NOT NULL,
    version integer NOT NULL,
    outcome text,
    reason text,
    failing boolean NOT NULL DEFAULT false,
    who jsonb,
    wave integer NOT NULL DEFAULT 1,
    group_id text,
    CONSTRAINT operation_items_pkey PRIMARY KEY (operation_id, n),
    CONSTRAINT operation_items_outcome_check CHECK ((outcome = ANY (ARRAY['succeeded'::text, 'failed'::text, 'skipped'::text])))
) WITH (fillfactor=80);

CREATE TABLE redrive.operation_parts (
    operation_id uuid NOT NULL,
    integration text NOT NULL,
    first integer NOT NULL,
    last integer NOT NULL,
    cursor integer NOT NULL,
    phase text NOT NULL DEFAULT 'canary'::text,
    ramp_at timestamp with time zone,
    tick_at timestamp with time zone,
    allowance double precision NOT NULL DEFAULT 0,
    held jsonb,
    succeeded integer NOT NULL DEFAULT 0,
    failed integer NOT NULL DEFAULT 0,
    failing integer NOT NULL DEFAULT 0,
    skipped integer NOT NULL DEFAULT 0,
    wave integer NOT NULL DEFAULT 1,
    wave_size integer,
    wave_sent integer NOT NULL DEFAULT 0,
    wave_good integer NOT NULL DEFAULT 0,
    wave_bad integer NOT NULL DEFAULT 0,
    again integer NOT NULL DEFAULT 0,
    CONSTRAINT operation_parts_pkey PRIMARY KEY (operation_id, integration),
    CONSTRAINT operation_parts_check CHECK ((((cursor >= (first - 1)) AND (cursor <= last)) AND (((succeeded + failed) + skipped) <= ((cursor - first) + 1)))),
    CONSTRAINT operation_parts_phase_check CHECK ((phase = ANY (ARRAY['canary'::text, 'ramp'::text, 'done'::text])))
) WITH (fillfactor=50);

CREATE TABLE redrive.operations (
    id uuid NOT NULL,
    action text NOT NULL,
    state text NOT NULL DEFAULT 'running'::text,
    version integer NOT NULL DEFAULT 1,
    actor text NOT NULL,
    reason text NOT NULL DEFAULT ''::text,
    category text,
    until timestamp with time zone,
    evidence text,
    filter jsonb,
    rate double precision,
    rate_end double precision,
    ramp_ms bigint,
    canary integer,
    stop_above double precision,
    selected integer NOT NULL DEFAULT 0,
    excluded jsonb NOT NULL DEFAULT '{}'::jsonb,
    note jsonb,
    created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    changed_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamp with time zone,
    ends_count integer,
    ends_grows double precision,
    for_good boolean NOT NULL DEFAULT false,
    CONSTRAINT operations_pkey PRIMARY KEY (id),
    CONSTRAINT operations_action_check CHECK ((action = ANY (ARRAY['retry'::text, 'ignore'::text, 'resolve'::text, 'reopen'::text, 'acknowledge'::text]))),
    CONSTRAINT operations_check CHECK (((state <> 'finished'::text) OR (finished_at IS NOT NULL))),
    CONSTRAINT operations_state_check CHECK ((state = ANY (ARRAY['running'::text, 'paused'::text, 'cancelled'::text, 'finished'::text])))
) WITH (fillfactor=50);
CREATE INDEX operations_list ON redrive.operations USING btree (created_at DESC, id DESC);
CREATE INDEX operations_open ON redrive.operations USING btree (id) WHERE (finished_at IS NULL);

CREATE TABLE redrive.operators (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    name text NOT NULL,
    role text NOT NULL,
    password_hash text NOT NULL,
    created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    disabled_at timestamp with time zone,
    generation integer NOT NULL DEFAULT 1,
    issuer text,
    subject text,
    language text NOT NULL DEFAULT ''::text,
    CONSTRAINT operators_pkey PRIMARY KEY (id),
    CONSTRAINT operators_language CHECK ((language ~ '^([a-z]{2,3})?$'::text)),
    CONSTRAINT operators_provided CHECK (((issuer IS NULL) = (subject IS NULL))),
    CONSTRAINT operators_role_check CHECK ((role = ANY (ARRAY[''::text, 'viewer'::text, 'on-call'::text, 'operator'::text, 'reviewer'::text, 'auditor'::text, 'admin'::text]))),
    CONSTRAINT operators_name_key UNIQUE (name),
    CONSTRAINT operators_subject_key UNIQUE (issuer, subject)
);
CREATE TRIGGER actor_named AFTER INSERT OR UPDATE OF name ON redrive.operators FOR EACH ROW EXECUTE FUNCTION redrive.actor_named();

CREATE TABLE redrive.passkeys (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    operator_id uuid NOT NULL,
    credential_id bytea NOT NULL,
    credential jsonb NOT NULL,
    name text NOT NULL,
    sign_count bigint NOT NULL,
    created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    used_at timestamp with time zone,
    CONSTRAINT passkeys_pkey PRIMARY KEY (id),
    CONSTRAINT passkeys_operator_id_fkey FOREIGN KEY (operator_id) REFERENCES redrive.operators(id) ON DELETE CASCADE,
    CONSTRAINT passkeys_credential_id_key UNIQUE (credential_id)
);
CREATE INDEX passkeys_operator ON redrive.passkeys USING btree (operator_id);

CREATE TABLE redrive.places (
    operator_id uuid NOT NULL,
    hash bytea NOT NULL,
    address text NOT NULL,
    seen_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT places_pkey PRIMARY KEY (operator_id, hash),
    CONSTRAINT places_operator_id_fkey FOREIGN KEY (operator_id) REFERENCES redrive.operators(id) ON DELETE CASCADE
);

CREATE TABLE redrive.positions (
    feed text NOT NULL,
    database_id text,
    snapshot pg_snapshot NOT NULL,
    target pg_snapshot,
    after uuid,
    since timestamp with time zone,
    updated_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT positions_pkey PRIMARY KEY (feed)
);

CREATE TABLE redrive.queue (
    id uuid NOT NULL,
    message_id uuid NOT NULL,
    integration text NOT NULL,
    due_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    token bigint,
    attempts integer NOT NULL DEFAULT 0,
    round_start integer NOT NULL DEFAULT 0,
    crashes smallint NOT NULL DEFAULT 0,
    worker text,
    lane text,
    "position" bigint,
    edit integer,
    claimed_at timestamp with time zone,
    CONSTRAINT queue_pkey PRIMARY KEY (id)
) WITH (fillfactor=50, autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=5000, autovacuum_vacuum_cost_delay=0, autovacuum_vacuum_insert_threshold=50000);
CREATE INDEX queue_due ON redrive.queue USING btree (integration, due_at) WITH (fillfactor='70');
CREATE INDEX queue_lane ON redrive.queue USING btree (integration, lane, "position") WHERE (lane IS NOT NULL);
CREATE INDEX queue_message ON redrive.queue USING btree (message_id);
CREATE INDEX queue_unplaced ON redrive.queue USING btree (message_id) WHERE ((lane IS NOT NULL) AND ("position" IS NULL));

CREATE TABLE redrive.recovery_codes (
    operator_id uuid NOT NULL,
    code_hash bytea NOT NULL,
    used_at timestamp with time zone,
    CONSTRAINT recovery_codes_pkey PRIMARY KEY (operator_id, code_hash),
    CONSTRAINT recovery_codes_operator_id_fkey FOREIGN KEY (operator_id) REFERENCES redrive.operators(id) ON DELETE CASCADE
);

CREATE TABLE redrive.remasking (
    alone boolean NOT NULL DEFAULT true,
    integrations text[] NOT NULL,
    cursor uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000'::uuid,
    begun_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT remasking_pkey PRIMARY KEY (alone),
    CONSTRAINT remasking_alone_check CHECK (alone)
);

CREATE TABLE redrive.reused_keys (
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    integration text NOT NULL,
    type text NOT NULL,
    message_id uuid NOT NULL,
    sender text NOT NULL,
    differs text NOT NULL,
    CONSTRAINT reused_keys_pkey PRIMARY KEY (id),
    CONSTRAINT reused_keys_differs_check CHECK ((differs = ANY (ARRAY['sender'::text, 'content'::text, 'gone'::text])))
);
CREATE INDEX reused_keys_at ON redrive.reused_keys USING btree (at);

CREATE TABLE redrive.reveals (
    delivery_id uuid NOT NULL,
    edit integer NOT NULL,
    path text NOT NULL,
    actor text NOT NULL,
    audit_seq bigint NOT NULL,
    until timestamp with time zone NOT NULL,
    CONSTRAINT reveals_pkey PRIMARY KEY (delivery_id, edit, path, actor)
);
CREATE INDEX reveals_until ON redrive.reveals USING btree (until);

CREATE TABLE redrive.saved_views (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    owner text NOT NULL,
    name text NOT NULL,
    search text NOT NULL,
    shared boolean NOT NULL DEFAULT false,
    created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT saved_views_pkey PRIMARY KEY (id),
    CONSTRAINT saved_views_owner_name_key UNIQUE (owner, name)
);

CREATE TABLE redrive.schema_version (
    id integer NOT NULL GENERATED BY DEFAULT AS IDENTITY,
    version_id bigint NOT NULL,
    is_applied boolean NOT NULL,
    tstamp timestamp without time zone NOT NULL DEFAULT now(),
    CONSTRAINT schema_version_pkey PRIMARY KEY (id)
);

CREATE TABLE redrive.search (
    delivery_id uuid NOT NULL,
    version integer NOT NULL,
    seq bigint NOT NULL,
    edit integer,
    error text NOT NULL,
    words tsvector,
    doc jsonb,
    CONSTRAINT search_pkey PRIMARY KEY (delivery_id)
) WITH (fillfactor=90);
CREATE INDEX search_doc ON redrive.search USING gin (doc jsonb_path_ops) WITH (gin_pending_list_limit='256');
CREATE INDEX search_error ON redrive.search USING gin (error redrive.gin_trgm_ops) WITH (gin_pending_list_limit='256');
CREATE INDEX search_pairs ON redrive.search USING gin (redrive.pairs(error)) WITH (gin_pending_list_limit='256');
CREATE INDEX search_words ON redrive.search USING gin (words) WITH (gin_pending_list_limit='256');

CREATE TABLE redrive.secrets (
    id uuid NOT NULL,
    integration text NOT NULL,
    name text NOT NULL,
    sealed bytea NOT NULL,
    set_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    set_by text NOT NULL,
    CONSTRAINT secrets_pkey PRIMARY KEY (id),
    CONSTRAINT secrets_integration_check CHECK ((integration ~ '^[a-z0-9-]{1,63}$'::text)),
    CONSTRAINT secrets_name_check CHECK ((name ~ '^[A-Za-z0-9_.-]{1,100}$'::text)),
    CONSTRAINT secrets_integration_name_key UNIQUE (integration, name)
);

CREATE TABLE redrive.sessions (
    token_hash bytea NOT NULL,
    data bytea NOT NULL,
    expiry timestamp with time zone NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    operator_id uuid,
    generation integer,
    device text NOT NULL DEFAULT ''::text,
    address text NOT NULL DEFAULT ''::text,
    created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    seen_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    method text NOT NULL DEFAULT 'password'::text,
    authenticated_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    provider_session text,
    id_token text,
    CONSTRAINT sessions_pkey PRIMARY KEY (token_hash),
    CONSTRAINT sessions_operator_id_fkey FOREIGN KEY (operator_id) REFERENCES redrive.operators(id) ON DELETE CASCADE,
    CONSTRAINT sessions_id_key UNIQUE (id)
);
CREATE INDEX sessions_expiry ON redrive.sessions USING btree (expiry);
CREATE INDEX sessions_operator ON redrive.sessions USING btree (operator_id);
CREATE INDEX sessions_provider ON redrive.sessions USING btree (provider_session) WHERE (provider_session IS NOT NULL);

CREATE TABLE redrive.settlements (
    group_id text NOT NULL,
    id uuid NOT NULL,
    action text NOT NULL,
    operation boolean NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL DEFAULT ''::text,
    category text,
    evidence text,
    ticket text,
    deliveries integer NOT NULL,
    decided_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT settlements_pkey PRIMARY KEY (group_id, id, action)
);
CREATE INDEX settlements_latest ON redrive.settlements USING btree (group_id, decided_at DESC);

CREATE TABLE redrive.sign_in_key (
    only_row boolean NOT NULL DEFAULT true,
    key bytea NOT NULL,
    CONSTRAINT sign_in_key_pkey PRIMARY KEY (only_row),
    CONSTRAINT sign_in_key_key_check CHECK ((length(key) = 32)),
    CONSTRAINT sign_in_key_only_row_check CHECK (only_row)
);

CREATE TABLE redrive.source_members (
    member text NOT NULL,
    integration text NOT NULL,
    noted_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT source_members_pkey PRIMARY KEY (member)
);

CREATE TABLE redrive.source_positions (
    integration text NOT NULL,
    topic text NOT NULL,
    consumers text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    end_offset bigint NOT NULL,
    CONSTRAINT source_positions_pkey PRIMARY KEY (integration, topic, consumers, partition)
) WITH (fillfactor=50);

CREATE TABLE redrive.source_topics (
    integration text NOT NULL,
    topic text NOT NULL,
    consumers text NOT NULL,
    topic_id text NOT NULL,
    partitions integer NOT NULL,
    compacted boolean NOT NULL DEFAULT false,
    made_again integer NOT NULL DEFAULT 0,
    gone boolean NOT NULL DEFAULT false,
    CONSTRAINT source_topics_pkey PRIMARY KEY (integration, topic, consumers)
);

CREATE TABLE redrive.subject_keys (
    id uuid NOT NULL,
    sealed bytea NOT NULL,
    alone boolean NOT NULL DEFAULT true,
    CONSTRAINT subject_keys_pkey PRIMARY KEY (id),
    CONSTRAINT subject_keys_alone_check CHECK (alone),
    CONSTRAINT subject_keys_alone_key UNIQUE (alone)
);

CREATE TABLE redrive.token_secrets (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    token_id uuid NOT NULL,
    hash bytea NOT NULL,
    created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamp with time zone,
    CONSTRAINT token_secrets_pkey PRIMARY KEY (id),
    CONSTRAINT token_secrets_token_id_fkey FOREIGN KEY (token_id) REFERENCES redrive.api_tokens(id) ON DELETE CASCADE,
    CONSTRAINT token_secrets_hash_key UNIQUE (hash)
);
CREATE INDEX token_secrets_token ON redrive.token_secrets USING btree (token_id);

CREATE TABLE redrive.token_uses (
    secret_id uuid NOT NULL,
    used_at timestamp with time zone NOT NULL,
    address text NOT NULL,
    CONSTRAINT token_uses_pkey PRIMARY KEY (secret_id),
    CONSTRAINT token_uses_secret_id_fkey FOREIGN KEY (secret_id) REFERENCES redrive.token_secrets(id) ON DELETE CASCADE
);

CREATE TABLE redrive.totp (
    operator_id uuid NOT NULL,
    secret bytea,
    confirmed_at timestamp with time zone,
    last_step bigint NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    failed_at timestamp with time zone,
    sealed bytea,
    CONSTRAINT totp_pkey PRIMARY KEY (operator_id),
    CONSTRAINT totp_sealed CHECK ((num_nonnulls(secret, sealed) = 1)),
    CONSTRAINT totp_operator_id_fkey FOREIGN KEY (operator_id) REFERENCES redrive.operators(id) ON DELETE CASCADE
);

CREATE TABLE redrive.unindexed (
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    delivery_id uuid NOT NULL,
    CONSTRAINT unindexed_pkey PRIMARY KEY (id)
);

CREATE VIEW redrive.all_deliveries AS
 SELECT q.id,
    q.message_id,
    q.integration,
        CASE
            WHEN q.token IS NULL THEN 'pending'::text
            ELSE 'sending'::text
        END AS state,
    COALESCE(r.version, 0) AS version,
    q.attempts,
    r.error_class,
    r.group_id,
    r.failed_at,
    r.changed_at,
    r.dead_at,
    r.settled_at,
    r.retry_requested_at,
        CASE
            WHEN q.token IS NULL AND isfinite(q.due_at) THEN q.due_at
            ELSE NULL::timestamp with time zone
        END AS next_attempt_at,
    r.started_at,
    r.duration_ms,
    r.http_status,
    r.edit,
    r.operation_id,
    r.acknowledged_at
   FROM redrive.queue q
     LEFT JOIN redrive.deliveries r ON r.id = q.id
UNION ALL
 SELECT r.id,
    r.message_id,
    r.integration,
    r.state,
    r.version,
    r.attempts,
    r.error_class,
    r.group_id,
    r.failed_at,
    r.changed_at,
    r.dead_at,
    r.settled_at,
    r.retry_requested_at,
    NULL::timestamp with time zone AS next_attempt_at,
    r.started_at,
    r.duration_ms,
    r.http_status,
    r.edit,
    r.operation_id,
    r.acknowledged_at
   FROM redrive.deliveries r
  WHERE r.state <> 'pending'::text;

CREATE OR REPLACE FUNCTION redrive.actor_named()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    called text := NEW.name;
BEGIN
    IF TG_TABLE_NAME = 'api_tokens' THEN
        called := 'token:' || coalesce((SELECT o.name || '/' FROM redrive.operators o WHERE o.id = NEW.operator_id), '') || NEW.name;
    ELSE
        UPDATE redrive.actors a SET name = 'token:' || NEW.name || '/' || t.name FROM redrive.api_tokens t
        WHERE t.operator_id = NEW.id AND a.id = t.id::text;
    END IF;
    INSERT INTO redrive.actors (id, name) VALUES (NEW.id::text, called) ON CONFLICT (id) DO UPDATE SET name = excluded.name;
    RETURN NULL;
END
$function$;
REVOKE ALL ON FUNCTION redrive.actor_named() FROM PUBLIC;

CREATE OR REPLACE FUNCTION redrive.add_groups(counted redrive.group_counts[], sign integer)
 RETURNS void
 LANGUAGE sql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    INSERT INTO redrive.group_sums AS s (integration, error_class, pattern, groups, dead, acknowledged, pending, ignored, resolved, delivered,
        day, day_before, week, week_before, first_seen, last_seen)
    SELECT integration, error_class, pattern, sign * count(*), sign * sum(dead), sign * sum(acknowledged), sign * sum(pending), sign * sum(ignored),
        sign * sum(resolved), sign * sum(delivered), sign * sum(day), sign * sum(day_before), sign * sum(week), sign * sum(week_before),
        min(first_seen), max(last_seen)
    FROM unnest(counted) GROUP BY integration, error_class, pattern
    ON CONFLICT (integration, error_class, pattern) DO UPDATE SET groups = s.groups + excluded.groups, dead = s.dead + excluded.dead,
        acknowledged = s.acknowledged + excluded.acknowledged, pending = s.pending + excluded.pending, ignored = s.ignored + excluded.ignored,
        resolved = s.resolved + excluded.resolved, delivered = s.delivered + excluded.delivered, day = s.day + excluded.day,
        day_before = s.day_before + excluded.day_before, week = s.week + excluded.week, week_before = s.week_before + excluded.week_before,
        first_seen = least(s.first_seen, excluded.first_seen), last_seen = greatest(s.last_seen, excluded.last_seen)
$function$;
REVOKE ALL ON FUNCTION redrive.add_groups(redrive.group_counts[],integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION redrive.add_message_partition(day date)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    name text := 'messages_' || to_char(day, 'YYYYMMDD');
    first uuid := redrive.first_id(day::timestamp AT TIME ZONE 'UTC');
    following uuid := redrive.first_id((day + 1)::timestamp AT TIME ZONE 'UTC');
BEGIN
    IF to_regclass('redrive.' || name) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE redrive.%I (LIKE redrive.messages INCLUDING ALL)', name);
    -- what came while no partition of its day was there
    EXECUTE format('WITH moved AS (DELETE FROM redrive.messages_default WHERE id >= %L AND id < %L RETURNING *)
        INSERT INTO redrive.%I SELECT * FROM moved', first, following, name);
    EXECUTE format('ALTER TABLE redrive.messages ATTACH PARTITION redrive.%I FOR VALUES FROM (%L) TO (%L)', name, first, following);
    RETURN true;
END
$function$;
REVOKE ALL ON FUNCTION redrive.add_message_partition(date) FROM PUBLIC;

CREATE OR REPLACE FUNCTION redrive.admit_message(scope text, type text, payload bytea, key text, headers jsonb, idempotency_key text, deliver_after timestamp with time zone, expires_at timestamp with time zone)
 RETURNS uuid
 LANGUAGE plpgsql
AS $function$
#variable_conflict use_variable
DECLARE
    new uuid := redrive.new_id();
BEGIN
    PERFORM redrive.check_message(type, payload, key, headers, idempotency_key, deliver_after, expires_at);
    IF idempotency_key IS NOT NULL THEN
        INSERT INTO redrive.idempotency_keys (scope, key, message_id) VALUES (scope, idempotency_key, new) ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    RETURN new;
END
$function$;
REVOKE ALL ON FUNCTION redrive.admit_message(text,text,bytea,text,jsonb,text,timestamp with time zone,timestamp with time zone) FROM PUBLIC;

CREATE OR REPLACE FUNCTION redrive.admit_program(program name)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    owner name := (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'redrive.audit'::regclass);
    callable text;
BEGIN
    IF pg_has_role(program, owner, 'MEMBER') THEN
        RAISE EXCEPTION 'role % may do all that the owner of the schema may', program USING ERRCODE = 'invalid_grant_operation',
            HINT = 'create a role for the program that is no superuser and no member of the owner';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('redrive.admit_program', 0)); -- one at a time changes the catalog
    EXECUTE format('GRANT USAGE ON SCHEMA redrive TO %I', program);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA redrive TO %I', program);
    EXECUTE format('REVOKE ALL ON redrive.audit, redrive.audit_head, redrive.schema_version FROM %I', program);
    EXECUTE format('GRANT SELECT ON redrive.audit, redrive.audit_head, redrive.schema_version TO %I', program);
    EXECUTE format('GRANT INSERT ON redrive.audit TO %I', program);
    EXECUTE format('GRANT UPDATE (only_row) ON redrive.audit_head TO %I', program); -- to lock it; the column has one value
    EXECUTE format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA redrive TO %I', program);
    EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA redrive GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO %I', owner, program);
    FOR callable IN SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'redrive'::regnamespace
            AND p.prorettype <> 'trigger'::regtype AND p.proname <> 'admit_program'
            AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e') LOOP
        EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO %I', callable, program);
    END LOOP;
END
$function$;
REVOKE ALL ON FUNCTION redrive.admit_program(name) FROM PUBLIC;

CREATE OR REPLACE FUNCTION redrive.audit_append()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION redrive.audit_append() FROM PUBLIC;

CREATE OR REPLACE FUNCTION redrive.audit_appended()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION redrive.audit_appended() FROM PUBLIC;

CREATE OR REPLACE FUNCTION redrive.audit_begin(OUT seq bigint, OUT hash bytea, OUT at timestamp with time zone)
 RETURNS record
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    -- the audit is locked for many entries until the transaction ends: the newest one, and the time of those that follow
    UPDATE redrive.audit_head h SET granted = greatest(clock_timestamp(), h.at) RETURNING h.seq, h.hash, h.granted
$function$;
REVOKE ALL ON FUNCTION redrive.audit_begin() FROM PUBLIC;

CREATE OR REPLACE FUNCTION redrive.audit_entry(seq bigint, at timestamp with time zone, actor text, action text, subject_type text, subject text, reason text, details jsonb)
 RETURNS bytea
 LANGUAGE sql
 STABLE
AS $function$
    -- what audit_hash hashes after the entry before; a single expression, so that Postgres puts it in the place of the call
    SELECT convert_to(redrive.audit_field(seq::text) || redrive.audit_field(to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
        || redrive.audit_field(actor) || redrive.audit_field(action) || redrive.audit_field(subject_type) || redrive.audit_field(subject)
        || redrive.audit_field(reason) || redrive.audit_field(details::text), 'UTF8')
$function$;
REVOKE ALL ON FUNCTION redrive.audit_entry(bigint,timestamp with time zone,text,text,text,text,text,jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION redrive.audit_field(f text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
AS $function$
    -- its length in bytes, a colon and its text: no two entries share one encoding
    SELECT octet_length(f)::text || ':' || f
$function$;
REVOKE ALL ON FUNCTION redrive.audit_field(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION redrive.audit_forget()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION redrive.audit_grows()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF (NEW.level, NEW.n) IS DISTINCT FROM (OLD.level, OLD.n) OR substring(NEW.hashes FOR octet_length(OLD.hashes)) <> OLD.hashes THEN
        RAISE EXCEPTION 'hashes of the audit are kept as they are' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$function$;

CREATE OR REPLACE FUNCTION redrive.audit_hash(prev bytea, seq bigint, at timestamp with time zone, actor text, action text, subject_type text, subject text, reason text, details jsonb)
 RETURNS bytea
 LANGUAGE sql
 STABLE
AS $function$
    -- each field as its length in bytes, a colon and its text: no two entries share one encoding
    SELECT sha256(prev || convert_to(string_agg(octet_length(f)::text || ':' || f, '' ORDER BY n), 'UTF8'))
    FROM unnest(ARRAY[seq::text, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), actor, action,
        subject_type, subject, reason, details::text]) WITH ORDINALITY AS fields(f, n)
$function$;
REVOKE ALL ON FUNCTION redrive.audit_hash(bytea,bigint,timestamp with time zone,text,text,text,text,text,jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION redrive.audit_refuse()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    RAISE EXCEPTION 'the audit is append-only: % is refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END
$function$;
REVOKE ALL ON FUNCTION redrive.audit_refuse() FROM PUBLIC;

CREATE OR REPLACE FUNCTION redrive.case_listed()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    UPDATE redrive.deliveries SET assignee = NEW.assignee, tags = nullif(NEW.tags, '{}')
    WHERE id = NEW.delivery_id AND (assignee, tags) IS DISTINCT FROM (NEW.assignee, nullif(NEW.tags, '{}'));
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION redrive.check_headers(headers jsonb)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
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
        ELSIF h.is_text IS NOT TRUE OR h.value ~ E'[\\x01-\\x08\\x0a-\\x1f\\x7f-\\x9f]' OR octet_length(convert_to(h.value, 'UTF8')) > 8000 THEN
            RAISE EXCEPTION 'the value of header "%" is not one line of text', h.key USING ERRCODE = 'RD005',
                HINT = 'use a JSON string without line breaks or control characters, at most 8000 bytes';
        ELSIF h.value ~ E'^[ \\t]|[ \\t]$' THEN
            RAISE EXCEPTION 'the value of header "%" begins or ends with a blank', h.key USING ERRCODE = 'RD005',
                HINT = 'HTTP takes blanks away at both ends of a header: send the value without them';
        END IF;
    END LOOP;
END
$function$;
REVOKE ALL ON FUNCTION redrive.check_headers(jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION redrive.check_message(p_type text, p_payload bytea, p_key text, p_headers jsonb, p_idempotency_key text, p_deliver_after timestamp with time zone, p_expires_at timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION redrive.check_message(text,bytea,text,jsonb,text,timestamp with time zone,timestamp with time zone) FROM PUBLIC;

CREATE OR REPLACE FUNCTION redrive.delivery_id(message uuid, integration text)
 RETURNS uuid
 LANGUAGE sql
 STABLE
AS $function$
    -- as old as the message, and the same whenever it is asked: a message cannot be fanned out to an integration twice
    SELECT encode(overlay(uuid_send(message) PLACING substring(sha256(uuid_send(message) || convert_to(integration, 'UTF8')) FROM 1 FOR 7)
        FROM 10 FOR 7), 'hex')::uuid
$function$;
REVOKE ALL ON FUNCTION redrive.delivery_id(uuid,text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION redrive.drop_message_partition(day date, needed uuid[])
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    name text := 'messages_' || to_char(day, 'YYYYMMDD');
BEGIN
    LOCK TABLE ONLY redrive.messages IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('ALTER TABLE redrive.messages DETACH PARTITION redrive.%I', name);
    -- what is needed of it goes to the default partition
    EXECUTE format('INSERT INTO redrive.messages SELECT * FROM redrive.%I WHERE id = ANY ($1)', name) USING needed;
    EXECUTE format('DROP TABLE redrive.%I', name);
END
$function$;
REVOKE ALL ON FUNCTION redrive.drop_message_partition(date,uuid[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION redrive.enqueue(integration text, type text, payload bytea, headers redrive.headers_json, key text DEFAULT NULL::text, idempotency_key text DEFAULT NULL::text, deliver_after timestamp with time zone DEFAULT NULL::timestamp with time zone, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_variable
DECLARE
    message uuid;
    fields jsonb := redrive.text_headers(headers::text);
    is_ordered boolean := (SELECT i.ordered FROM redrive.integrations i WHERE i.name = integration AND i.active);
BEGIN
    -- nearly all messages are plain, which one expression tells; what it cannot tell is looked at part by part
    IF is_ordered IS NULL THEN
        RAISE EXCEPTION 'no integration is named "%"', integration USING ERRCODE = 'RD001',
            HINT = 'add it to the integrations file and start redrive once, or correct the name';
    ELSIF (fields = '{}' AND octet_length(type) <= 255 AND type ~ '^[!-~]+$' AND octet_length(payload) <= 10485760
        AND num_nulls(idempotency_key, deliver_after, expires_at) = 3 AND (key IS NULL OR octet_length(key) <= 1024
        AND key !~ E'[\\x01-\\x1f\\x7f-\\x9f]' AND getdatabaseencoding() = 'UTF8')) IS NOT TRUE THEN
        message := redrive.admit_message(integration, type, payload, key, fields, idempotency_key, deliver_after, expires_at);
        IF message IS NULL THEN
            RETURN redrive.known_message(integration, idempotency_key, 'role:' || session_user, type, key, payload);
        END IF;
    END IF;
    INSERT INTO redrive.messages (id, kind, integration, type, key, headers, payload, idempotency_key, deliver_after, expires_at)
        VALUES (coalesce(message, redrive.new_id()), 'command', integration, type, key, coalesce(fields, '{}'), payload, idempotency_key,
            deliver_after, expires_at)
        RETURNING id INTO message;
    INSERT INTO redrive.queue (id, message_id, integration, due_at, lane)
        VALUES (redrive.new_id(), message, integration,
            CASE WHEN is_ordered AND key <> '' THEN 'infinity' ELSE greatest(clock_timestamp(), deliver_after) END,
            CASE WHEN is_ordered THEN nullif(key, '') END);
    RETURN message;
END
$function$;

CREATE OR REPLACE FUNCTION redrive.enqueue(integration text, type text, payload bytea, headers redrive.headers_text, key text DEFAULT NULL::text, idempotency_key text DEFAULT NULL::text, deliver_after timestamp with time zone DEFAULT NULL::timestamp with time zone, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_variable
DECLARE
    message uuid;
    fields jsonb := redrive.text_headers(headers);
    is_ordered boolean := (SELECT i.ordered FROM redrive.integrations i WHERE i.name = integration AND i.active);
BEGIN
    -- nearly all messages are plain, which one expression tells; what it cannot tell is looked at part by part
    IF is_ordered IS NULL THEN
        RAISE EXCEPTION 'no integration is named "%"', integration USING ERRCODE = 'RD001',
            HINT = 'add it to the integrations file and start redrive once, or correct the name';
    ELSIF (fields = '{}' AND octet_length(type) <= 255 AND type ~ '^[!-~]+$' AND octet_length(payload) <= 10485760
        AND num_nulls(idempotency_key, deliver_after, expires_at) = 3 AND (key IS NULL OR octet_length(key) <= 1024
        AND key !~ E'[\\x01-\\x1f\\x7f-\\x9f]' AND getdatabaseencoding() = 'UTF8')) IS NOT TRUE THEN
        message := redrive.admit_message(integration, type, payload, key, fields, idempotency_key, deliver_after, expires_at);
        IF message IS NULL THEN
            RETURN redrive.known_message(integration, idempotency_key, 'role:' || session_user, type, key, payload);
        END IF;
    END IF;
    INSERT INTO redrive.messages (id, kind, integration, type, key, headers, payload, idempotency_key, deliver_after, expires_at)
        VALUES (coalesce(message, redrive.new_id()), 'command', integration, type, key, coalesce(fields, '{}'), payload, idempotency_key,
            deliver_after, expires_at)
        RETURNING id INTO message;
    INSERT INTO redrive.queue (id, message_id, integration, due_at, lane)
        VALUES (redrive.new_id(), message, integration,
            CASE WHEN is_ordered AND key <> '' THEN 'infinity' ELSE greatest(clock_timestamp(), deliver_after) END,
            CASE WHEN is_ordered THEN nullif(key, '') END);
    RETURN message;
END
$function$;

CREATE OR REPLACE FUNCTION redrive.enqueue(integration text, type text, payload bytea, key text, headers json, idempotency_key text DEFAULT NULL::text, deliver_after timestamp with time zone DEFAULT NULL::timestamp with time zone, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_variable
DECLARE
    message uuid;
    fields jsonb := redrive.text_headers(headers::text);
    is_ordered boolean := (SELECT i.ordered FROM redrive.integrations i WHERE i.name = integration AND i.active);
BEGIN
    -- nearly all messages are plain, which one expression tells; what it cannot tell is looked at part by part
    IF is_ordered IS NULL THEN
        RAISE EXCEPTION 'no integration is named "%"', integration USING ERRCODE = 'RD001',
            HINT = 'add it to the integrations file and start redrive once, or correct the name';
    ELSIF (fields = '{}' AND octet_length(type) <= 255 AND type ~ '^[!-~]+$' AND octet_length(payload) <= 10485760
        AND num_nulls(idempotency_key, deliver_after, expires_at) = 3 AND (key IS NULL OR octet_length(key) <= 1024
        AND key !~ E'[\\x01-\\x1f\\x7f-\\x9f]' AND getdatabaseencoding() = 'UTF8')) IS NOT TRUE THEN
        message := redrive.admit_message(integration, type, payload, key, fields, idempotency_key, deliver_after, expires_at);
        IF message IS NULL THEN
            RETURN redrive.known_message(integration, idempotency_key, 'role:' || session_user, type, key, payload);
        END IF;
    END IF;
    INSERT INTO redrive.messages (id, kind, integration, type, key, headers, payload, idempotency_key, deliver_after, expires_at)
        VALUES (coalesce(message, redrive.new_id()), 'command', integration, type, key, coalesce(fields, '{}'), payload, idempotency_key,
            deliver_after, expires_at)
        RETURNING id INTO message;
    INSERT INTO redrive.queue (id, message_id, integration, due_at, lane)
        VALUES (redrive.new_id(), message, integration,
            CASE WHEN is_ordered AND key <> '' THEN 'infinity' ELSE greatest(clock_timestamp(), deliver_after) END,
            CASE WHEN is_ordered THEN nullif(key, '') END);
    RETURN message;
END
$function$;

CREATE OR REPLACE FUNCTION redrive.enqueue(integration text, type text, payload bytea, key text DEFAULT NULL::text, headers jsonb DEFAULT '{}'::jsonb, idempotency_key text DEFAULT NULL::text, deliver_after timestamp with time zone DEFAULT NULL::timestamp with time zone, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_variable
DECLARE
    message uuid;
    
    is_ordered boolean := (SELECT i.ordered FROM redrive.integrations i WHERE i.name = integration AND i.active);
BEGIN
    -- nearly all messages are plain, which one expression tells; what it cannot tell is looked at part by part
    IF is_ordered IS NULL THEN
        RAISE EXCEPTION 'no integration is named "%"', integration USING ERRCODE = 'RD001',
            HINT = 'add it to the integrations file and start redrive once, or correct the name';
    ELSIF (headers = '{}' AND octet_length(type) <= 255 AND type ~ '^[!-~]+$' AND octet_length(payload) <= 10485760
        AND num_nulls(idempotency_key, deliver_after, expires_at) = 3 AND (key IS NULL OR octet_length(key) <= 1024
        AND key !~ E'[\\x01-\\x1f\\x7f-\\x9f]' AND getdatabaseencoding() = 'UTF8')) IS NOT TRUE THEN
        message := redrive.admit_message(integration, type, payload, key, headers, idempotency_key, deliver_after, expires_at);
        IF message IS NULL THEN
            RETURN redrive.known_message(integration, idempotency_key, 'role:' || session_user, type, key, payload);
        END IF;
    END IF;
    INSERT INTO redrive.messages (id, kind, integration, type, key, headers, payload, idempotency_key, deliver_after, expires_at)
        VALUES (coalesce(message, redrive.new_id()), 'command', integration, type, key, coalesce(headers, '{}'), payload, idempotency_key,
            deliver_after, expires_at)
        RETURNING id INTO message;
    INSERT INTO redrive.queue (id, message_id, integration, due_at, lane)
        VALUES (redrive.new_id(), message, integration,
            CASE WHEN is_ordered AND key <> '' THEN 'infinity' ELSE greatest(clock_timestamp(), deliver_after) END,
            CASE WHEN is_ordered THEN nullif(key, '') END);
    RETURN message;
END
$function$;

CREATE OR REPLACE FUNCTION redrive.enqueue(integration text, type text, payload bytea, key text, headers text, idempotency_key text DEFAULT NULL::text, deliver_after timestamp with time zone DEFAULT NULL::timestamp with time zone, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_variable
DECLARE
    message uuid;
    fields jsonb := redrive.text_headers(headers);
    is_ordered boolean := (SELECT i.ordered FROM redrive.integrations i WHERE i.name = integration AND i.active);
BEGIN
    -- nearly all messages are plain, which one expression tells; what it cannot tell is looked at part by part
    IF is_ordered IS NULL THEN
        RAISE EXCEPTION 'no integration is named "%"', integration USING ERRCODE = 'RD001',
            HINT = 'add it to the integrations file and start redrive once, or correct the name';
    ELSIF (fields = '{}' AND octet_length(type) <= 255 AND type ~ '^[!-~]+$' AND octet_length(payload) <= 10485760
        AND num_nulls(idempotency_key, deliver_after, expires_at) = 3 AND (key IS NULL OR octet_length(key) <= 1024
        AND key !~ E'[\\x01-\\x1f\\x7f-\\x9f]' AND getdatabaseencoding() = 'UTF8')) IS NOT TRUE THEN
        message := redrive.admit_message(integration, type, payload, key, fields, idempotency_key, deliver_after, expires_at);
        IF message IS NULL THEN
            RETURN redrive.known_message(integration, idempotency_key, 'role:' || session_user, type, key, payload);
        END IF;
    END IF;
    INSERT INTO redrive.messages (id, kind, integration, type, key, headers, payload, idempotency_key, deliver_after, expires_at)
        VALUES (coalesce(message, redrive.new_id()), 'command', integration, type, key, coalesce(fields, '{}'), payload, idempotency_key,
            deliver_after, expires_at)
        RETURNING id INTO message;
    INSERT INTO redrive.queue (id, message_id, integration, due_at, lane)
        VALUES (redrive.new_id(), message, integration,
            CASE WHEN is_ordered AND key <> '' THEN 'infinity' ELSE greatest(clock_timestamp(), deliver_after) END,
            CASE WHEN is_ordered THEN nullif(key, '') END);
    RETURN message;
END
$function$;

CREATE OR REPLACE FUNCTION redrive.enqueue(integration text, type text, payload json, headers redrive.headers_json, key text DEFAULT NULL::text, idempotency_key text DEFAULT NULL::text, deliver_after timestamp with time zone DEFAULT NULL::timestamp with time zone, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_variable
DECLARE
    message uuid;
    bytes bytea := CASE WHEN getdatabaseencoding() = 'UTF8' AND payload IS NOT NULL THEN convert_to(payload::text, 'UTF8') ELSE redrive.text_payload(payload::text) END; fields jsonb := redrive.text_headers(headers::text);
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
            RETURN redrive.known_message(integration, idempotency_key, 'role:' || session_user, type, key, bytes);
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
$function$;

CREATE OR REPLACE FUNCTION redrive.enqueue(integration text, type text, payload json, headers redrive.headers_text, key text DEFAULT NULL::text, idempotency_key text DEFAULT NULL::text, deliver_after timestamp with time zone DEFAULT NULL::timestamp with time zone, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_variable
DECLARE
    message uuid;
    bytes bytea := CASE WHEN getdatabaseencoding() = 'UTF8' AND payload IS NOT NULL THEN convert_to(payload::text, 'UTF8') ELSE redrive.text_payload(payload::text) END; fields jsonb := redrive.text_headers(headers);
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
            RETURN redrive.known_message(integration, idempotency_key, 'role:' || session_user, type, key, bytes);
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
$function$;

CREATE OR REPLACE FUNCTION redrive.enqueue(integration text, type text, payload json, key text, headers json, idempotency_key text DEFAULT NULL::text, deliver_after timestamp with time zone DEFAULT NULL::timestamp with time zone, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_variable
DECLARE
    message uuid;
    bytes bytea := CASE WHEN getdatabaseencoding() = 'UTF8' AND payload IS NOT NULL THEN convert_to(payload::text, 'UTF8') ELSE redrive.text_payload(payload::text) END; fields jsonb := redrive.text_headers(headers::text);
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
            RETURN redrive.known_message(integration, idempotency_key, 'role:' || session_user, type, key, bytes);
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
$function$;

CREATE OR REPLACE FUNCTION redrive.enqueue(integration text, type text, payload json, key text DEFAULT NULL::text, headers jsonb DEFAULT '{}'::jsonb, idempotency_key text DEFAULT NULL::text, deliver_after timestamp with time zone DEFAULT NULL::timestamp with time zone, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_variable
DECLARE
    message uuid;
    bytes bytea := CASE WHEN getdatabaseencoding() = 'UTF8' AND payload IS NOT NULL THEN convert_to(payload::text, 'UTF8') ELSE redrive.text_payload(payload::text) END; 
    is_ordered boolean := (SELECT i.ordered FROM redrive.integrations i WHERE i.name = integration AND i.active);
BEGIN
    -- nearly all messages are plain, which one expression tells; what it cannot tell is looked at part by part
    IF is_ordered IS NULL THEN
        RAISE EXCEPTION 'no integration is named "%"', integration USING ERRCODE = 'RD001',
            HINT = 'add it to the integrations file and start redrive once, or correct the name';
    ELSIF (headers = '{}' AND octet_length(type) <= 255 AND type ~ '^[!-~]+$' AND octet_length(bytes) <= 10485760
        AND num_nulls(idempotency_key, deliver_after, expires_at) = 3 AND (key IS NULL OR octet_length(key) <= 1024
        AND key !~ E'[\\x01-\\x1f\\x7f-\\x9f]' AND getdatabaseencoding() = 'UTF8')) IS NOT TRUE THEN
        message := redrive.admit_message(integration, type, bytes, key, headers, idempotency_key, deliver_after, expires_at);
        IF message IS NULL THEN
            RETURN redrive.known_message(integration, idempotency_key, 'role:' || session_user, type, key, bytes);
        END IF;
    END IF;
    INSERT INTO redrive.messages (id, kind, integration, type, key, headers, payload, idempotency_key, deliver_after, expires_at)
        VALUES (coalesce(message, redrive.new_id()), 'command', integration, type, key, coalesce(headers, '{}'), bytes, idempotency_key,
            deliver_after, expires_at)
        RETURNING id INTO message;
    INSERT INTO redrive.queue (id, message_id, integration, due_at, lane)
        VALUES (redrive.new_id(), message, integration,
            CASE WHEN is_ordered AND key <> '' THEN 'infinity' ELSE greatest(clock_timestamp(), deliver_after) END,
            CASE WHEN is_ordered THEN nullif(key, '') END);
    RETURN message;
END
$function$;

CREATE OR REPLACE FUNCTION redrive.enqueue(integration text, type text, payload json, key text, headers text, idempotency_key text DEFAULT NULL::text, deliver_after timestamp with time zone DEFAULT NULL::timestamp with time zone, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_variable
DECLARE
    message uuid;
    bytes bytea := CASE WHEN getdatabaseencoding() = 'UTF8' AND payload IS NOT NULL THEN convert_to(payload::text, 'UTF8') ELSE redrive.text_payload(payload::text) END; fields jsonb := redrive.text_headers(headers);
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
            RETURN redrive.known_message(integration, idempotency_key, 'role:' || session_user, type, key, bytes);
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
$function$;

CREATE OR REPLACE FUNCTION redrive.enqueue(integration text, type text, payload jsonb, headers redrive.headers_json, key text DEFAULT NULL::text, idempotency_key text DEFAULT NULL::text, deliver_after timestamp with time zone DEFAULT NULL::timestamp with time zone, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_variable
DECLARE
    message uuid;
    bytes bytea := CASE WHEN getdatabaseencoding() = 'UTF8' AND payload IS NOT NULL THEN convert_to(payload::text, 'UTF8') ELSE redrive.text_payload(payload::text) END; fields jsonb := redrive.text_headers(headers::text);
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
            RETURN redrive.known_message(integration, idempotency_key, 'role:' || session_user, type, key, bytes);
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
$function$;

CREATE OR REPLACE FUNCTION redrive.enqueue(integration text, type text, payload jsonb, headers redrive.headers_text, key text DEFAULT NULL::text, idempotency_key text DEFAULT NULL::text, deliver_after timestamp with time zone DEFAULT NULL::timestamp with time zone, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_variable
DECLARE
    message uuid;
    bytes bytea := CASE WHEN getdatabaseencoding() = 'UTF8' AND payload IS NOT NULL THEN convert_to(payload::text, 'UTF8') ELSE redrive.text_payload(payload::text) END; fields jsonb := redrive.text_headers(headers);
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
            RETURN redrive.known_message(integration, idempotency_key, 'role:' || session_user, type, key, bytes);
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
$function$;

CREATE OR REPLACE FUNCTION redrive.enqueue(integration text, type text, payload jsonb, key text, headers json, idempotency_key text DEFAULT NULL::text, deliver_after timestamp with time zone DEFAULT NULL::timestamp with time zone, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_variable
DECLARE
    message uuid;
    bytes bytea := CASE WHEN getdatabaseencoding() = 'UTF8' AND payload IS NOT NULL THEN convert_to(payload::text, 'UTF8') ELSE redrive.text_payload(payload::text) END; fields jsonb := redrive.text_headers(headers::text);
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
            RETURN redrive.known_message(integration, idempotency_key, 'role:' || session_user, type, key, bytes);
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
$function$;

CREATE OR REPLACE FUNCTION redrive.enqueue(integration text, type text, payload jsonb, key text DEFAULT NULL::text, headers jsonb DEFAULT '{}'::jsonb, idempotency_key text DEFAULT NULL::text, deliver_after timestamp with time zone DEFAULT NULL::timestamp with time zone, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_variable
DECLARE
    message uuid;
    bytes bytea := CASE WHEN getdatabaseencoding() = 'UTF8' AND payload IS NOT NULL THEN convert_to(payload::text, 'UTF8') ELSE redrive.text_payload(payload::text) END; 
    is_ordered boolean := (SELECT i.ordered FROM redrive.integrations i WHERE i.name = integration AND i.active);
BEGIN
    -- nearly all messages are plain, which one expression tells; what it cannot tell is looked at part by part
    IF is_ordered IS NULL THEN
        RAISE EXCEPTION 'no integration is named "%"', integration USING ERRCODE = 'RD001',
            HINT = 'add it to the integrations file and start redrive once, or correct the name';
    ELSIF (headers = '{}' AND octet_length(type) <= 255 AND type ~ '^[!-~]+$' AND octet_length(bytes) <= 10485760
        AND num_nulls(idempotency_key, deliver_after, expires_at) = 3 AND (key IS NULL OR octet_length(key) <= 1024
        AND key !~ E'[\\x01-\\x1f\\x7f-\\x9f]' AND getdatabaseencoding() = 'UTF8')) IS NOT TRUE THEN
        message := redrive.admit_message(integration, type, bytes, key, headers, idempotency_key, deliver_after, expires_at);
        IF message IS NULL THEN
            RETURN redrive.known_message(integration, idempotency_key, 'role:' || session_user, type, key, bytes);
        END IF;
    END IF;
    INSERT INTO redrive.messages (id, kind, integration, type, key, headers, payload, idempotency_key, deliver_after, expires_at)
        VALUES (coalesce(message, redrive.new_id()), 'command', integration, type, key, coalesce(headers, '{}'), bytes, idempotency_key,
            deliver_after, expires_at)
        RETURNING id INTO message;
    INSERT INTO redrive.queue (id, message_id, integration, due_at, lane)
        VALUES (redrive.new_id(), message, integration,
            CASE WHEN is_ordered AND key <> '' THEN 'infinity' ELSE greatest(clock_timestamp(), deliver_after) END,
            CASE WHEN is_ordered THEN nullif(key, '') END);
    RETURN message;
END
$function$;

CREATE OR REPLACE FUNCTION redrive.enqueue(integration text, type text, payload jsonb, key text, headers text, idempotency_key text DEFAULT NULL::text, deliver_after timestamp with time zone DEFAULT NULL::timestamp with time zone, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_variable
DECLARE
    message uuid;
    bytes bytea := CASE WHEN getdatabaseencoding() = 'UTF8' AND payload IS NOT NULL THEN convert_to(payload::text, 'UTF8') ELSE redrive.text_payload(payload::text) END; fields jsonb := redrive.text_headers(headers);
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
            RETURN redrive.known_message(integration, idempotency_key, 'role:' || session_user, type, key, bytes);
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
$function$;

CREATE OR REPLACE FUNCTION redrive.enqueue(integration text, type text, payload text, headers redrive.headers_json, key text DEFAULT NULL::text, idempotency_key text DEFAULT NULL::text, deliver_after timestamp with time zone DEFAULT NULL::timestamp with time zone, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_variable
DECLARE
    message uuid;
    bytes bytea := CASE WHEN getdatabaseencoding() = 'UTF8' AND NOT starts_with(payload, E'\\x') THEN convert_to(payload, 'UTF8') ELSE redrive.text_payload(payload) END; fields jsonb := redrive.text_headers(headers::text);
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
            RETURN redrive.known_message(integration, idempotency_key, 'role:' || session_user, type, key, bytes);
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
$function$;

CREATE OR REPLACE FUNCTION redrive.enqueue(integration text, type text, payload text, headers redrive.headers_text, key text DEFAULT NULL::text, idempotency_key text DEFAULT NULL::text, deliver_after timestamp with time zone DEFAULT NULL::timestamp with time zone, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_variable
DECLARE
    message uuid;
    bytes bytea := CASE WHEN getdatabaseencoding() = 'UTF8' AND NOT starts_with(payload, E'\\x') THEN convert_to(payload, 'UTF8') ELSE redrive.text_payload(payload) END; fields jsonb := redrive.text_headers(headers);
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
            RETURN redrive.known_message(integration, idempotency_key, 'role:' || session_user, type, key, bytes);
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
$function$;

CREATE OR REPLACE FUNCTION redrive.enqueue(integration text, type text, payload text, key text, headers json, idempotency_key text DEFAULT NULL::text, deliver_after timestamp with time zone DEFAULT NULL::timestamp with time zone, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_variable
DECLARE
    message uuid;
    bytes bytea := CASE WHEN getdatabaseencoding() = 'UTF8' AND NOT starts_with(payload, E'\\x') THEN convert_to(payload, 'UTF8') ELSE redrive.text_payload(payload) END; fields jsonb := redrive.text_headers(headers::text);
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
            RETURN redrive.known_message(integration, idempotency_key, 'role:' || session_user, type, key, bytes);
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
$function$;

CREATE OR REPLACE FUNCTION redrive.enqueue(integration text, type text, payload text, key text DEFAULT NULL::text, headers jsonb DEFAULT '{}'::jsonb, idempotency_key text DEFAULT NULL::text, deliver_after timestamp with time zone DEFAULT NULL::timestamp with time zone, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_variable
DECLARE
    message uuid;
    bytes bytea := CASE WHEN getdatabaseencoding() = 'UTF8' AND NOT starts_with(payload, E'\\x') THEN convert_to(payload, 'UTF8') ELSE redrive.text_payload(payload) END; 
    is_ordered boolean := (SELECT i.ordered FROM redrive.integrations i WHERE i.name = integration AND i.active);
BEGIN
    -- nearly all messages are plain, which one expression tells; what it cannot tell is looked at part by part
    IF is_ordered IS NULL THEN
        RAISE EXCEPTION 'no integration is named "%"', integration USING ERRCODE = 'RD001',
            HINT = 'add it to the integrations file and start redrive once, or correct the name';
    ELSIF (headers = '{}' AND octet_length(type) <= 255 AND type ~ '^[!-~]+$' AND octet_length(bytes) <= 10485760
        AND num_nulls(idempotency_key, deliver_after, expires_at) = 3 AND (key IS NULL OR octet_length(key) <= 1024
        AND key !~ E'[\\x01-\\x1f\\x7f-\\x9f]' AND getdatabaseencoding() = 'UTF8')) IS NOT TRUE THEN
        message := redrive.admit_message(integration, type, bytes, key, headers, idempotency_key, deliver_after, expires_at);
        IF message IS NULL THEN
            RETURN redrive.known_message(integration, idempotency_key, 'role:' || session_user, type, key, bytes);
        END IF;
    END IF;
    INSERT INTO redrive.messages (id, kind, integration, type, key, headers, payload, idempotency_key, deliver_after, expires_at)
        VALUES (coalesce(message, redrive.new_id()), 'command', integration, type, key, coalesce(headers, '{}'), bytes, idempotency_key,
            deliver_after, expires_at)
        RETURNING id INTO message;
    INSERT INTO redrive.queue (id, message_id, integration, due_at, lane)
        VALUES (redrive.new_id(), message, integration,
            CASE WHEN is_ordered AND key <> '' THEN 'infinity' ELSE greatest(clock_timestamp(), deliver_after) END,
            CASE WHEN is_ordered THEN nullif(key, '') END);
    RETURN message;
END
$function$;

CREATE OR REPLACE FUNCTION redrive.enqueue(integration text, type text, payload text, key text, headers text, idempotency_key text DEFAULT NULL::text, deliver_after timestamp with time zone DEFAULT NULL::timestamp with time zone, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_variable
DECLARE
    message uuid;
    bytes bytea := CASE WHEN getdatabaseencoding() = 'UTF8' AND NOT starts_with(payload, E'\\x') THEN convert_to(payload, 'UTF8') ELSE redrive.text_payload(payload) END; fields jsonb := redrive.text_headers(headers);
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
            RETURN redrive.known_message(integration, idempotency_key, 'role:' || session_user, type, key, bytes);
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
$function$;

CREATE OR REPLACE FUNCTION redrive.enqueue_from(sender text, integration text, type text, payload bytea, key text DEFAULT NULL::text, headers jsonb DEFAULT '{}'::jsonb, idempotency_key text DEFAULT NULL::text, deliver_after timestamp with time zone DEFAULT NULL::timestamp with time zone, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS uuid
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_variable
DECLARE
    message uuid;
    
    is_ordered boolean := (SELECT i.ordered FROM redrive.integrations i WHERE i.name = integration AND i.active);
BEGIN
    -- nearly all messages are plain, which one expression tells; what it cannot tell is looked at part by part
    IF is_ordered IS NULL THEN
        RAISE EXCEPTION 'no integration is named "%"', integration USING ERRCODE = 'RD001',
            HINT = 'add it to the integrations file and start redrive once, or correct the name';
    ELSIF (headers = '{}' AND octet_length(type) <= 255 AND type ~ '^[!-~]+$' AND octet_length(payload) <= 10485760
        AND num_nulls(idempotency_key, deliver_after, expires_at) = 3 AND (key IS NULL OR octet_length(key) <= 1024
        AND key !~ E'[\\x01-\\x1f\\x7f-\\x9f]' AND getdatabaseencoding() = 'UTF8')) IS NOT TRUE THEN
        message := redrive.admit_message(integration, type, payload, key, headers, idempotency_key, deliver_after, expires_at);
        IF message IS NULL THEN
            RETURN redrive.known_message(integration, idempotency_key, sender, type, key, payload);
        END IF;
    END IF;
    INSERT INTO redrive.messages (id, kind, integration, type, key, headers, payload, idempotency_key, deliver_after, expires_at, sender)
        VALUES (coalesce(message, redrive.new_id()), 'command', integration, type, key, coalesce(headers, '{}'), payload, idempotency_key,
            deliver_after, expires_at, sender)
        RETURNING id INTO message;
    INSERT INTO redrive.queue (id, message_id, integration, due_at, lane)
        VALUES (redrive.new_id(), message, integration,
            CASE WHEN is_ordered AND key <> '' THEN 'infinity' ELSE greatest(clock_timestamp(), deliver_after) END,
            CASE WHEN is_ordered THEN nullif(key, '') END);
    RETURN message;
END
$function$;
REVOKE ALL ON FUNCTION redrive.enqueue_from(text,text,text,bytea,text,jsonb,text,timestamp with time zone,timestamp with time zone) FROM PUBLIC;

CREATE OR REPLACE FUNCTION redrive.first_id(at timestamp with time zone)
 RETURNS uuid
 LANGUAGE sql
 STABLE
AS $function$
    -- the smallest id of version 7 that this time can have
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$function$;
REVOKE ALL ON FUNCTION redrive.first_id(timestamp with time zone) FROM PUBLIC;

CREATE OR REPLACE FUNCTION redrive.group_pattern(dead bigint, pending bigint, ignored bigint, resolved bigint, delivered bigint, regressed boolean)
 RETURNS integer
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    -- one bit for each state in which a group has failures, and whether it came back
    SELECT (dead > 0)::integer + 2 * (pending > 0)::integer + 4 * (ignored > 0)::integer + 8 * (resolved > 0)::integer
        + 16 * (delivered > 0)::integer + 32 * regressed::integer
$function$;
REVOKE ALL ON FUNCTION redrive.group_pattern(bigint,bigint,bigint,bigint,bigint,boolean) FROM PUBLIC;

CREATE OR REPLACE FUNCTION redrive.groups_inserted()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    PERFORM redrive.add_groups((SELECT array_agg(n::redrive.group_counts) FROM new_rows n), 1);
    RETURN NULL;
END
$function$;
REVOKE ALL ON FUNCTION redrive.groups_inserted() FROM PUBLIC;

CREATE OR REPLACE FUNCTION redrive.groups_updated()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    PERFORM redrive.add_groups((SELECT array_agg(o::redrive.group_counts) FROM old_rows o), -1);
    PERFORM redrive.add_groups((SELECT array_agg(n::redrive.group_counts) FROM new_rows n), 1);
    RETURN NULL;
END
$function$;
REVOKE ALL ON FUNCTION redrive.groups_updated() FROM PUBLIC;

CREATE OR REPLACE FUNCTION redrive.is_document(bytes bytea)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
BEGIN
    RETURN json_typeof(convert_from(bytes, 'UTF8')::json) IN ('object', 'array');
EXCEPTION
    WHEN character_not_in_repertoire OR untranslatable_character THEN RETURN NULL;
    WHEN invalid_text_representation THEN RETURN false;
END
$function$;
REVOKE ALL ON FUNCTION redrive.is_document(bytea) FROM PUBLIC;

CREATE OR REPLACE FUNCTION redrive.key_reuse(first uuid, p_sender text, p_type text, p_key text, p_payload bytea)
 RETURNS text
 LANGUAGE sql
 STABLE
AS $function$
    SELECT coalesce(min(CASE WHEN m.sender IS NULL THEN '' WHEN m.sender <> p_sender THEN 'sender'
        WHEN (m.type, coalesce(m.key, ''), m.payload) IS DISTINCT FROM (p_type, coalesce(p_key, ''), p_payload) THEN 'content' ELSE '' END), 'gone')
    FROM redrive.messages m WHERE m.id = first
$function$;
REVOKE ALL ON FUNCTION redrive.key_reuse(uuid,text,text,text,bytea) FROM PUBLIC;

CREATE OR REPLACE FUNCTION redrive.known_message(p_scope text, p_key text, p_sender text DEFAULT NULL::text, p_type text DEFAULT NULL::text, p_message_key text DEFAULT NULL::text, p_payload bytea DEFAULT NULL::bytea)
 RETURNS uuid
 LANGUAGE plpgsql
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION redrive.known_message(text,text,text,text,text,bytea) FROM PUBLIC;

CREATE OR REPLACE FUNCTION redrive.new_id()
 RETURNS uuid
 LANGUAGE sql
AS $function$
    -- UUID version 7 (RFC 9562): milliseconds, the fraction of the millisecond in 12 bits, so that what a session makes is in its
    -- order, and 52 bits of chance, which is no secret and so needs no cryptography. One expression that reads
    -- the clock once: Postgres puts it in the place of the call.
    SELECT (overlay(lpad(to_hex((date_part('epoch', clock_timestamp()) * 4096000)::bigint), 15, '0') PLACING '7' FROM 13 FOR 0)
        || to_hex((random() * 4611686018427387904)::bigint | x'8000000000000000'::bigint))::uuid
$function$;
REVOKE ALL ON FUNCTION redrive.new_id() FROM PUBLIC;

CREATE OR REPLACE FUNCTION redrive.pairs(t text)
 RETURNS text[]
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    c text[] := string_to_array(lower(t), NULL);
    r text[] := '{}';
BEGIN
    FOR i IN 1 .. cardinality(c) - 1 LOOP
        r := r || (c[i] || c[i + 1]); -- grows in place: many times as fast as a query
    END LOOP;
    RETURN r;
END
$function$;

CREATE OR REPLACE FUNCTION redrive.publish(type text, payload bytea, headers redrive.headers_json, key text DEFAULT NULL::text, idempotency_key text DEFAULT NULL::text)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    RETURN redrive.publish_between(type, payload, key, redrive.text_headers(headers::text), idempotency_key, NULL, NULL);
END
$function$;

CREATE OR REPLACE FUNCTION redrive.publish(type text, payload bytea, headers redrive.headers_text, key text DEFAULT NULL::text, idempotency_key text DEFAULT NULL::text)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    RETURN redrive.publish_between(type, payload, key, redrive.text_headers(headers), idempotency_key, NULL, NULL);
END
$function$;

CREATE OR REPLACE FUNCTION redrive.publish(type text, payload bytea, key text, headers json, idempotency_key text DEFAULT NULL::text)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    RETURN redrive.publish_between(type, payload, key, redrive.text_headers(headers::text), idempotency_key, NULL, NULL);
END
$function$;

CREATE OR REPLACE FUNCTION redrive.publish(type text, payload bytea, key text DEFAULT NULL::text, headers jsonb DEFAULT '{}'::jsonb, idempotency_key text DEFAULT NULL::text)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    RETURN redrive.publish_between(type, payload, key, headers, idempotency_key, NULL, NULL);
END
$function$;

CREATE OR REPLACE FUNCTION redrive.publish(type text, payload bytea, key text, headers text, idempotency_key text DEFAULT NULL::text)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    RETURN redrive.publish_between(type, payload, key, redrive.text_headers(headers), idempotency_key, NULL, NULL);
END
$function$;

CREATE OR REPLACE FUNCTION redrive.publish(type text, payload json, headers redrive.headers_json, key text DEFAULT NULL::text, idempotency_key text DEFAULT NULL::text)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    RETURN redrive.publish_between(type, CASE WHEN getdatabaseencoding() = 'UTF8' AND payload IS NOT NULL THEN convert_to(payload::text, 'UTF8') ELSE redrive.text_payload(payload::text) END, key, redrive.text_headers(headers::text), idempotency_key, NULL, NULL);
END
$function$;

CREATE OR REPLACE FUNCTION redrive.publish(type text, payload json, headers redrive.headers_text, key text DEFAULT NULL::text, idempotency_key text DEFAULT NULL::text)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    RETURN redrive.publish_between(type, CASE WHEN getdatabaseencoding() = 'UTF8' AND payload IS NOT NULL THEN convert_to(payload::text, 'UTF8') ELSE redrive.text_payload(payload::text) END, key, redrive.text_headers(headers), idempotency_key, NULL, NULL);
END
$function$;

CREATE OR REPLACE FUNCTION redrive.publish(type text, payload json, key text, headers json, idempotency_key text DEFAULT NULL::text)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    RETURN redrive.publish_between(type, CASE WHEN getdatabaseencoding() = 'UTF8' AND payload IS NOT NULL THEN convert_to(payload::text, 'UTF8') ELSE redrive.text_payload(payload::text) END, key, redrive.text_headers(headers::text), idempotency_key, NULL, NULL);
END
$function$;

CREATE OR REPLACE FUNCTION redrive.publish(type text, payload json, key text DEFAULT NULL::text, headers jsonb DEFAULT '{}'::jsonb, idempotency_key text DEFAULT NULL::text)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    RETURN redrive.publish_between(type, CASE WHEN getdatabaseencoding() = 'UTF8' AND payload IS NOT NULL THEN convert_to(payload::text, 'UTF8') ELSE redrive.text_payload(payload::text) END, key, headers, idempotency_key, NULL, NULL);
END
$function$;

CREATE OR REPLACE FUNCTION redrive.publish(type text, payload json, key text, headers text, idempotency_key text DEFAULT NULL::text)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    RETURN redrive.publish_between(type, CASE WHEN getdatabaseencoding() = 'UTF8' AND payload IS NOT NULL THEN convert_to(payload::text, 'UTF8') ELSE redrive.text_payload(payload::text) END, key, redrive.text_headers(headers), idempotency_key, NULL, NULL);
END
$function$;

CREATE OR REPLACE FUNCTION redrive.publish(type text, payload jsonb, headers redrive.headers_json, key text DEFAULT NULL::text, idempotency_key text DEFAULT NULL::text)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    RETURN redrive.publish_between(type, CASE WHEN getdatabaseencoding() = 'UTF8' AND payload IS NOT NULL THEN convert_to(payload::text, 'UTF8') ELSE redrive.text_payload(payload::text) END, key, redrive.text_headers(headers::text), idempotency_key, NULL, NULL);
END
$function$;

CREATE OR REPLACE FUNCTION redrive.publish(type text, payload jsonb, headers redrive.headers_text, key text DEFAULT NULL::text, idempotency_key text DEFAULT NULL::text)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    RETURN redrive.publish_between(type, CASE WHEN getdatabaseencoding() = 'UTF8' AND payload IS NOT NULL THEN convert_to(payload::text, 'UTF8') ELSE redrive.text_payload(payload::text) END, key, redrive.text_headers(headers), idempotency_key, NULL, NULL);
END
$function$;

CREATE OR REPLACE FUNCTION redrive.publish(type text, payload jsonb, key text, headers json, idempotency_key text DEFAULT NULL::text)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    RETURN redrive.publish_between(type, CASE WHEN getdatabaseencoding() = 'UTF8' AND payload IS NOT NULL THEN convert_to(payload::text, 'UTF8') ELSE redrive.text_payload(payload::text) END, key, redrive.text_headers(headers::text), idempotency_key, NULL, NULL);
END
$function$;

CREATE OR REPLACE FUNCTION redrive.publish(type text, payload jsonb, key text DEFAULT NULL::text, headers jsonb DEFAULT '{}'::jsonb, idempotency_key text DEFAULT NULL::text)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    RETURN redrive.publish_between(type, CASE WHEN getdatabaseencoding() = 'UTF8' AND payload IS NOT NULL THEN convert_to(payload::text, 'UTF8') ELSE redrive.text_payload(payload::text) END, key, headers, idempotency_key, NULL, NULL);
END
$function$;

CREATE OR REPLACE FUNCTION redrive.publish(type text, payload jsonb, key text, headers text, idempotency_key text DEFAULT NULL::text)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    RETURN redrive.publish_between(type, CASE WHEN getdatabaseencoding() = 'UTF8' AND payload IS NOT NULL THEN convert_to(payload::text, 'UTF8') ELSE redrive.text_payload(payload::text) END, key, redrive.text_headers(headers), idempotency_key, NULL, NULL);
END
$function$;

CREATE OR REPLACE FUNCTION redrive.publish(type text, payload text, headers redrive.headers_json, key text DEFAULT NULL::text, idempotency_key text DEFAULT NULL::text)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    RETURN redrive.publish_between(type, CASE WHEN getdatabaseencoding() = 'UTF8' AND NOT starts_with(payload, E'\\x') THEN convert_to(payload, 'UTF8') ELSE redrive.text_payload(payload) END, key, redrive.text_headers(headers::text), idempotency_key, NULL, NULL);
END
$function$;

CREATE OR REPLACE FUNCTION redrive.publish(type text, payload text, headers redrive.headers_text, key text DEFAULT NULL::text, idempotency_key text DEFAULT NULL::text)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    RETURN redrive.publish_between(type, CASE WHEN getdatabaseencoding() = 'UTF8' AND NOT starts_with(payload, E'\\x') THEN convert_to(payload, 'UTF8') ELSE redrive.text_payload(payload) END, key, redrive.text_headers(headers), idempotency_key, NULL, NULL);
END
$function$;

CREATE OR REPLACE FUNCTION redrive.publish(type text, payload text, key text, headers json, idempotency_key text DEFAULT NULL::text)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    RETURN redrive.publish_between(type, CASE WHEN getdatabaseencoding() = 'UTF8' AND NOT starts_with(payload, E'\\x') THEN convert_to(payload, 'UTF8') ELSE redrive.text_payload(payload) END, key, redrive.text_headers(headers::text), idempotency_key, NULL, NULL);
END
$function$;

CREATE OR REPLACE FUNCTION redrive.publish(type text, payload text, key text DEFAULT NULL::text, headers jsonb DEFAULT '{}'::jsonb, idempotency_key text DEFAULT NULL::text)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    RETURN redrive.publish_between(type, CASE WHEN getdatabaseencoding() = 'UTF8' AND NOT starts_with(payload, E'\\x') THEN convert_to(payload, 'UTF8') ELSE redrive.text_payload(payload) END, key, headers, idempotency_key, NULL, NULL);
END
$function$;

CREATE OR REPLACE FUNCTION redrive.publish(type text, payload text, key text, headers text, idempotency_key text DEFAULT NULL::text)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    RETURN redrive.publish_between(type, CASE WHEN getdatabaseencoding() = 'UTF8' AND NOT starts_with(payload, E'\\x') THEN convert_to(payload, 'UTF8') ELSE redrive.text_payload(payload) END, key, redrive.text_headers(headers), idempotency_key, NULL, NULL);
END
$function$;

CREATE OR REPLACE FUNCTION redrive.publish_between(type text, payload bytea, key text, headers jsonb, idempotency_key text, deliver_after timestamp with time zone, expires_at timestamp with time zone, sender text DEFAULT ('role:'::text || (SESSION_USER)::text))
 RETURNS uuid
 LANGUAGE plpgsql
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION redrive.publish_between(text,bytea,text,jsonb,text,timestamp with time zone,timestamp with time zone,text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION redrive.record_counted()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET enable_nestloop TO 'off'
AS $function$
BEGIN
    IF NOT EXISTS (SELECT FROM new_rows WHERE group_id IS NOT NULL) THEN
        RETURN NULL; -- mostly nothing was updated: an insert that finds no conflict comes by here as well
    END IF;
    -- what was counted before, taken away; what is to be counted now, added
    INSERT INTO redrive.group_deltas (group_id, dead, acknowledged, pending, ignored, resolved, delivered, failed, died, came, reopened)
    SELECT * FROM (
        SELECT c.group_id, coalesce(sum(c.one) FILTER (WHERE c.state = 'dead'), 0) AS dead,
            coalesce(sum(c.one) FILTER (WHERE c.state = 'dead' AND c.acknowledged), 0) AS acknowledged,
            coalesce(sum(c.one) FILTER (WHERE c.state = 'pending'), 0) AS pending, coalesce(sum(c.one) FILTER (WHERE c.state = 'ignored'), 0) AS ignored,
            coalesce(sum(c.one) FILTER (WHERE c.state = 'resolved'), 0) AS resolved, coalesce(sum(c.one) FILTER (WHERE c.state = 'delivered'), 0) AS delivered,
            count(*) FILTER (WHERE c.failed) AS failed, count(*) FILTER (WHERE c.failed AND c.state = 'dead') AS died, count(*) FILTER (WHERE c.came) AS came,
            count(*) FILTER (WHERE c.reopened) AS reopened
        FROM (
            SELECT n.group_id, n.state, n.acknowledged_at IS NOT NULL AS acknowledged, 1 AS one,
                n.version > o.version AND n.state IN ('dead', 'pending', 'ignored') AND o.state IN ('pending', 'delivered') AS failed,
                o.failed_at IS NULL OR o.group_id IS DISTINCT FROM n.group_id AS came,
                o.state = 'ignored' AND n.state = 'dead' AND n.actor = 'policy' AS reopened -- by an end
            FROM new_rows n JOIN old_rows o ON o.id = n.id WHERE n.group_id IS NOT NULL AND n.failed_at IS NOT NULL
            UNION ALL
            SELECT group_id, state, acknowledged_at IS NOT NULL, -1, false, false, false FROM old_rows WHERE group_id IS NOT NULL AND failed_at IS NOT NULL
        ) c GROUP BY c.group_id
    ) d WHERE (dead, acknowledged, pending, ignored, resolved, delivered, failed, came, reopened) <> (0, 0, 0, 0, 0, 0, 0, 0, 0);
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION redrive.record_inserted()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    IF NOT EXISTS (SELECT FROM new_rows WHERE group_id IS NOT NULL) THEN
        RETURN NULL; -- delivered at the first try, as nearly everything
    END IF;
    INSERT INTO redrive.group_deltas (group_id, dead, acknowledged, pending, ignored, resolved, delivered, failed, died, came)
    SELECT group_id, count(*) FILTER (WHERE state = 'dead'), 0, count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'ignored'),
        count(*) FILTER (WHERE state = 'resolved'), count(*) FILTER (WHERE state = 'delivered' AND failed_at IS NOT NULL), count(*),
        count(*) FILTER (WHERE state = 'dead'), count(failed_at)
    FROM new_rows WHERE group_id IS NOT NULL GROUP BY group_id;
    INSERT INTO redrive.unindexed (delivery_id) SELECT id FROM new_rows WHERE group_id IS NOT NULL AND state IN ('dead', 'pending');
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION redrive.record_updated()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    IF NOT EXISTS (SELECT FROM new_rows) THEN
        RETURN NULL;
    END IF;
    -- failed again, opened again, another payload, or other fields to hide
    INSERT INTO redrive.unindexed (delivery_id) SELECT n.id FROM new_rows n JOIN old_rows o ON o.id = n.id
    WHERE n.group_id IS NOT NULL AND n.state IN ('dead', 'pending')
        AND (o.state <> 'dead' AND n.version <> o.version OR n.edit IS DISTINCT FROM o.edit OR n.integration <> o.integration);

    IF EXISTS (SELECT FROM new_rows WHERE operation_id IS NOT NULL) THEN
        WITH outcomes AS (
            SELECT n.operation_id, n.operation_item, n.integration,
                CASE n.state WHEN 'delivered' THEN 'succeeded' WHEN 'pending' THEN NULL ELSE 'failed' END AS outcome, n.error_class
            FROM new_rows n JOIN old_rows o ON o.id = n.id
            WHERE n.operation_id IS NOT NULL AND o.operation_id = n.operation_id AND o.state = 'pending' AND n.version > o.version
        ), noted AS (
            UPDATE redrive.operation_items i SET outcome = o.outcome, failing = o.outcome IS NULL,
                reason = CASE WHEN o.outcome = 'failed' THEN o.error_class END
            FROM outcomes o, redrive.operation_items b WHERE i.operation_id = o.operation_id AND i.n = o.operation_item AND i.outcome IS NULL
                AND b.operation_id = i.operation_id AND b.n = i.n AND (o.outcome IS NOT NULL OR NOT i.failing)
            RETURNING i.operation_id, o.integration, i.outcome, i.wave, b.failing AS was_failing
        )
        INSERT INTO redrive.operation_deltas (operation_id, integration, wave, succeeded, failed, failing)
        SELECT operation_id, integration, wave, count(*) FILTER (WHERE outcome = 'succeeded'), count(*) FILTER (WHERE outcome = 'failed'),
            count(*) FILTER (WHERE outcome IS NULL) - count(*) FILTER (WHERE outcome IS NOT NULL AND was_failing)
        FROM noted GROUP BY operation_id, integration, wave;
    END IF;
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION redrive.search_doc(payload text)
 RETURNS jsonb
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    RETURN payload::jsonb;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN NULL; -- JSON that jsonb does not take: NUL, a lone surrogate, a number too long, too deep
END
$function$;

CREATE OR REPLACE FUNCTION redrive.text_headers(headers text)
 RETURNS jsonb
 LANGUAGE plpgsql
AS $function$
BEGIN
    -- jsonb would keep the last of two of one name, and tell nobody
    IF json_typeof(headers::json) = 'object' AND (SELECT count(DISTINCT lower(k COLLATE "C")) < count(*) FROM json_object_keys(headers::json) k) THEN
        RAISE EXCEPTION 'there are more than 64 headers, or one is given twice' USING ERRCODE = 'RD005',
            HINT = 'letter case does not tell header names apart';
    END IF;
    RETURN headers::jsonb;
END
$function$;
REVOKE ALL ON FUNCTION redrive.text_headers(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION redrive.text_payload(payload text)
 RETURNS bytea
 LANGUAGE plpgsql
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION redrive.text_payload(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION redrive.utf8(what text, given text)
 RETURNS bytea
 LANGUAGE plpgsql
AS $function$
BEGIN
    RETURN convert_to(given, 'UTF8');
EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN
    RAISE EXCEPTION 'the % is text that is not UTF-8', what USING ERRCODE = 'RD006',
        HINT = 'a payload of any bytes is passed as bytea: cast it, for example $1::bytea or convert_to(text, ''SQL_ASCII'')';
END
$function$;
REVOKE ALL ON FUNCTION redrive.utf8(text,text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION redrive.valid_message(type text, headers jsonb, payload bytea, deliver_after timestamp with time zone, expires_at timestamp with time zone, origin jsonb)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE
AS $function$
    SELECT type <> '' AND jsonb_typeof(headers) = 'object' AND (payload IS NULL OR octet_length(payload) <= 10485760 OR origin IS NOT NULL)
        -- infinity and years that RFC 3339 cannot write would stop whoever reads the row
        AND coalesce(least(deliver_after, expires_at) >= '0001-01-01Z' AND greatest(deliver_after, expires_at) < '10000-01-01Z', true)
$function$;
REVOKE ALL ON FUNCTION redrive.valid_message(text,jsonb,bytea,timestamp with time zone,timestamp with time zone,jsonb) FROM PUBLIC;
