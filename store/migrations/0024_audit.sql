-- Who read, changed, approved and deleted what: ids, never what was said. It is added to and never rewritten.

CREATE TABLE audit_log (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor   text NOT NULL,
    via     text NOT NULL,
    action  text NOT NULL CHECK (action ~ '^[a-z_]{1,63}$'),
    kind    text,
    object  text,
    outcome text NOT NULL DEFAULT 'done' CHECK (outcome ~ '^[a-z_]{1,63}$'),
    times   integer NOT NULL DEFAULT 1 CHECK (times > 0),
    CHECK (kind IS NOT NULL OR object IS NULL)
);
COMMENT ON TABLE audit_log IS 'what agents do with tasks that they hold stands in task_events instead';
COMMENT ON COLUMN audit_log.via IS 'the id of a token; console; settings for the token of the settings; command for the command line on this database';
COMMENT ON COLUMN audit_log.object IS 'the id of what it was about; of a person who was forgotten, a digest of the name';
COMMENT ON COLUMN audit_log.outcome IS 'done, counted (a trial), or the code of the error';
COMMENT ON COLUMN audit_log.times IS 'reads of the same within a minute are one row';
CREATE INDEX audit_log_by_time ON audit_log (at);
CREATE INDEX audit_log_by_actor ON audit_log (actor, id DESC);
CREATE INDEX audit_log_by_object ON audit_log (object, id DESC) WHERE object IS NOT NULL;

CREATE FUNCTION keep_audit_log() RETURNS trigger LANGUAGE plpgsql AS $$
-- Only forget_audit_log() takes rows away, which runs as the owner of the table.
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('ai_webhook.forgets_audit_log', true) = 'on'
       AND current_user = (SELECT pg_get_userbyid(c.relowner) FROM pg_class c WHERE c.oid = TG_RELID) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'audit_log is append-only.' USING ERRCODE = 'AW002';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_log FOR EACH ROW EXECUTE FUNCTION keep_audit_log();
CREATE TRIGGER append_only_whole BEFORE TRUNCATE ON audit_log FOR EACH STATEMENT EXECUTE FUNCTION keep_audit_log();

CREATE FUNCTION forget_audit_log(days integer, most integer DEFAULT 10000) RETURNS integer LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, public AS $$
-- Takes away rows older than so many days, at least one, and no more than `most` at a time. Answers how many.
DECLARE
    gone integer;
BEGIN
    PERFORM set_config('ai_webhook.forgets_audit_log', 'on', true);
    DELETE FROM audit_log WHERE id IN (
        SELECT l.id FROM audit_log l WHERE l.at < clock_timestamp() - make_interval(days => GREATEST(days, 1))
         ORDER BY l.at LIMIT most);
    GET DIAGNOSTICS gone = ROW_COUNT;
    PERFORM set_config('ai_webhook.forgets_audit_log', '', true);
    RETURN gone;
END $$;
REVOKE EXECUTE ON FUNCTION forget_audit_log(integer, integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION make_reader(reader name, password text) RETURNS void LANGUAGE plpgsql AS $$
-- Makes the role, or gives it a new password, and grants it what this version lets it read: not who has which token or
-- login or did what, and not the bodies of deliveries, from which nothing was taken out.
DECLARE
    relation record;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = reader) THEN
        EXECUTE format('CREATE ROLE %I', reader);
    ELSIF EXISTS (SELECT FROM pg_roles WHERE rolname = reader AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls))
          OR EXISTS (SELECT FROM pg_class WHERE relowner = (SELECT oid FROM pg_roles WHERE rolname = reader)) THEN
        RAISE EXCEPTION 'The role % may do more than read; choose another name.', reader USING ERRCODE = 'AW006';
    END IF;
    EXECUTE format('ALTER ROLE %I LOGIN NOINHERIT CONNECTION LIMIT 20 PASSWORD %L', reader, password);
    EXECUTE format('ALTER ROLE %I SET default_transaction_read_only = on', reader);
    EXECUTE format('ALTER ROLE %I SET statement_timeout = ''30s''', reader);
    EXECUTE format('ALTER ROLE %I SET idle_in_transaction_session_timeout = ''60s''', reader);
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), reader);
    EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', reader);
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM %I', reader);
    FOR relation IN SELECT c.oid::regclass AS name FROM pg_class c
                     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v', 'm', 'p')
                       AND c.relname <> ALL ('{deliveries,tokens,repeatable_requests,people,logins,login_links,failed_logins,llm_answers,forgotten,audit_log}')
    LOOP
        EXECUTE format('GRANT SELECT ON %s TO %I', relation.name, reader);
    END LOOP;
    EXECUTE format('GRANT SELECT (%s) ON deliveries TO %I',
                   (SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute
                     WHERE attrelid = 'deliveries'::regclass AND attnum > 0 AND NOT attisdropped AND attname <> 'body'),
                   reader);
END $$;
