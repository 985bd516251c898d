-- A role for database tools and the agents that use them: it reads, and nothing else, whatever SQL it is given.

CREATE FUNCTION make_reader(reader name, password text) RETURNS void LANGUAGE plpgsql AS $$
-- Makes the role, or gives it a new password, and grants it what this version lets it read: not who has which token or
-- login, and not the bodies of deliveries, from which nothing was taken out.
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
                       AND c.relname <> ALL ('{deliveries,tokens,repeatable_requests,people,logins,login_links,failed_logins,llm_answers}')
    LOOP
        EXECUTE format('GRANT SELECT ON %s TO %I', relation.name, reader);
    END LOOP;
    EXECUTE format('GRANT SELECT (%s) ON deliveries TO %I',
                   (SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute
                     WHERE attrelid = 'deliveries'::regclass AND attnum > 0 AND NOT attisdropped AND attname <> 'body'),
                   reader);
END $$;
REVOKE EXECUTE ON FUNCTION make_reader(name, text) FROM PUBLIC;
