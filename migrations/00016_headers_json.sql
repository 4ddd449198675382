-- +goose Up
-- What may be passed as headers by name when no key is, as redrive.headers_text is for text.
CREATE DOMAIN redrive.headers_json AS json;

-- Headers may be json as well: the forms that take text, once more. What has no type is a text still: json is no kind of string, so
-- that Postgres prefers the forms of before.
-- +goose StatementBegin
DO $migration$
DECLARE
    old       record;
    made      text;
    fresh     regprocedure;
    permitted record;
    known     oid[] := ARRAY(SELECT oid FROM pg_proc WHERE pronamespace = 'redrive'::regnamespace AND proname IN ('enqueue', 'publish'));
BEGIN
    FOR old IN SELECT proowner, proacl, pg_get_functiondef(oid) AS body FROM pg_proc WHERE oid = ANY(known)
        AND pg_get_function_arguments(oid) ~ '\mheaders (text|(redrive\.)?headers_text)\M'
    LOOP
        made := regexp_replace(old.body, '\mheaders (redrive\.)?headers_text\M', 'headers redrive.headers_json');
        made := regexp_replace(made, '\mheaders text\M', 'headers json');
        EXECUTE replace(made, 'redrive.text_headers(headers)', 'redrive.text_headers(headers::text)');
        SELECT oid INTO STRICT fresh FROM pg_proc WHERE pronamespace = 'redrive'::regnamespace AND proname IN ('enqueue', 'publish') AND oid <> ALL(known);
        known := known || fresh::oid;

        -- it belongs to whom the form of before belongs, and has the rights that an administrator gave or took
        EXECUTE format('ALTER FUNCTION %s OWNER TO %s', fresh, old.proowner::regrole);
        FOR permitted IN SELECT DISTINCT grantee FROM pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner))) WHERE pg_proc.oid = fresh LOOP
            EXECUTE format('REVOKE ALL ON FUNCTION %s FROM %s', fresh, CASE permitted.grantee WHEN 0 THEN 'PUBLIC' ELSE permitted.grantee::regrole::text END);
        END LOOP;
        FOR permitted IN SELECT grantee, bool_or(is_grantable) AS further FROM aclexplode(coalesce(old.proacl, acldefault('f', old.proowner)))
            GROUP BY grantee
        LOOP
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', fresh, CASE permitted.grantee WHEN 0 THEN 'PUBLIC'
                ELSE permitted.grantee::regrole::text || CASE WHEN permitted.further THEN ' WITH GRANT OPTION' ELSE '' END END);
        END LOOP;
    END LOOP;
END
$migration$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
DO $$
DECLARE
    form regprocedure;
BEGIN
    FOR form IN SELECT oid FROM pg_proc WHERE pronamespace = 'redrive'::regnamespace AND proname IN ('enqueue', 'publish')
        AND pg_get_function_arguments(oid) ~ '\mheaders (json|(redrive\.)?headers_json)\M'
    LOOP
        EXECUTE format('DROP FUNCTION %s', form);
    END LOOP;
END
$$;
-- +goose StatementEnd
DROP DOMAIN redrive.headers_json;
