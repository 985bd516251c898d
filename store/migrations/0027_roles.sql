-- Who may do what: the owner, who migrates; <database>_app, for what web and workers do; <database>_reader, which reads.
-- `ai-webhook migrate` makes the two where it may, and grants them this version's tables and functions.

DROP FUNCTION make_reader(name, text);

CREATE FUNCTION role_of(kind text) RETURNS name LANGUAGE sql STABLE AS $$
-- Roles belong to the whole server: each database has its own.
    SELECT (left(current_database()::text, 50) || '_' || kind)::name
$$;

CREATE FUNCTION is_ours(class regclass, object oid, owner oid) RETURNS boolean LANGUAGE sql STABLE AS $$
-- Whether it is for us to grant: not an extension's, and not of somebody whose part we cannot take.
    SELECT pg_has_role(owner, 'USAGE')
           AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = class AND d.objid = object AND d.deptype = 'e')
$$;

CREATE FUNCTION rights_of_app(relation oid) RETURNS text LANGUAGE sql STABLE AS $$
-- History is added to and never rewritten; versions are the owner's.
    SELECT CASE WHEN c.relkind = 'S' THEN 'USAGE'
                WHEN c.relkind IN ('v', 'm') OR c.relname = 'schema_migrations' THEN 'SELECT'
                WHEN c.relname = 'memory_events'
                     OR EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'append_only')
                    THEN 'SELECT, INSERT'
                ELSE 'SELECT, INSERT, UPDATE, DELETE' END
      FROM pg_class c WHERE c.oid = relation
$$;

CREATE FUNCTION rights_of_reader(relation oid) RETURNS text LANGUAGE sql STABLE AS $$
-- Not who has which token or login, nor the bodies of deliveries, from which nothing was taken out. NULL for nothing.
    SELECT CASE WHEN c.relname = 'deliveries'
                    THEN (SELECT format('SELECT (%s)', string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum))
                            FROM pg_attribute a
                           WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> 'body')
                WHEN c.relkind <> 'S'
                     AND c.relname <> ALL ('{tokens,repeatable_requests,people,logins,login_links,failed_logins,llm_answers,forgotten,audit_log}')
                    THEN 'SELECT' END
      FROM pg_class c WHERE c.oid = relation
$$;

CREATE FUNCTION grant_roles() RETURNS void LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
-- Gives the roles that there are what they need of this version, no less and no more, and takes from everybody else what
-- they have by default. The owner calls it, after every migration.
DECLARE
    app     name := (SELECT rolname FROM pg_roles WHERE rolname = role_of('app'));
    reader  name := (SELECT rolname FROM pg_roles WHERE rolname = role_of('reader'));
    roles   text := concat_ws(', ', quote_ident(app), quote_ident(reader));
    thing   record;
BEGIN
    IF roles = '' THEN
        RETURN;
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO %s', current_database(), roles);
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT USAGE ON SCHEMA public TO %s', roles);
    EXECUTE 'REVOKE CREATE ON SCHEMA public FROM PUBLIC';
    FOR thing IN SELECT c.oid::regclass AS name, CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind,
                        rights_of_app(c.oid) AS of_app, rights_of_reader(c.oid) AS of_reader
                   FROM pg_class c
                  WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
                    AND is_ours('pg_class', c.oid, c.relowner)
    LOOP
        EXECUTE format('REVOKE ALL ON %s %s FROM %s', thing.kind, thing.name, roles);
        IF app IS NOT NULL THEN
            EXECUTE format('GRANT %s ON %s %s TO %I', thing.of_app, thing.kind, thing.name, app);
        END IF;
        IF reader IS NOT NULL AND thing.of_reader IS NOT NULL THEN
            EXECUTE format('GRANT %s ON %s %s TO %I', thing.of_reader, thing.kind, thing.name, reader);
        END IF;
    END LOOP;
    -- Triggers need no right to their function. What is volatile writes, and is not for readers.
    FOR thing IN SELECT p.oid::regprocedure AS name, p.provolatile <> 'v' AS reads,
                        p.prorettype <> 'trigger'::regtype AND p.proname <> ALL (
                            '{role_of,is_ours,rights_of_app,rights_of_reader,grant_roles,make_roles,limit_role,make_login,settle_events,recount_search_words}'
                        ) AS callable
                   FROM pg_proc p
                  WHERE p.pronamespace = 'public'::regnamespace AND is_ours('pg_proc', p.oid, p.proowner)
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC, %s', thing.name, roles);
        IF thing.callable THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', thing.name,
                           CASE WHEN thing.reads THEN roles ELSE quote_ident(app) END);
        END IF;
    END LOOP;
    -- For what a migration makes while the service is up, until this is called again after it.
    IF app IS NOT NULL THEN
        EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO %I', app);
        EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO %I', app);
        EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT EXECUTE ON FUNCTIONS TO %I', app);
    END IF;
END $$;

CREATE FUNCTION limit_role(role name, kind text) RETURNS void LANGUAGE plpgsql AS $$
-- How its sessions begin, also behind a pooler that passes no settings on: store/database.py says the same for app.
DECLARE
    setting text;
    limits  text[] := CASE kind
        WHEN 'app' THEN ARRAY['timezone = ''UTC''', 'statement_timeout = ''60s''', 'lock_timeout = ''30s''',
                              'idle_in_transaction_session_timeout = ''5min''']
        ELSE ARRAY['default_transaction_read_only = on', 'statement_timeout = ''30s''', 'lock_timeout = ''5s''',
                   'idle_in_transaction_session_timeout = ''60s''', 'work_mem = ''16MB''',
                   'max_parallel_workers_per_gather = 0'] END;
BEGIN
    IF kind = 'reader' AND (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        limits := limits || 'temp_file_limit = ''1GB'''::text;
    END IF;
    FOREACH setting IN ARRAY limits LOOP
        EXECUTE format('ALTER ROLE %I SET %s', role, setting);
    END LOOP;
END $$;

CREATE FUNCTION make_roles() RETURNS text[] LANGUAGE plpgsql AS $$
-- Makes the roles that are missing, nobody can sign in as them yet, and answers which.
DECLARE
    kind text;
    made text[] := '{}';
BEGIN
    FOREACH kind IN ARRAY '{app,reader}'::text[] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_of(kind)) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role_of(kind));
            PERFORM limit_role(role_of(kind), kind);
            made := made || role_of(kind)::text;
        END IF;
    END LOOP;
    PERFORM grant_roles();
    RETURN made;
END $$;

CREATE FUNCTION make_login(kind text, login name, password text) RETURNS void LANGUAGE plpgsql AS $$
-- Lets somebody sign in as app or reader, or gives them a new password. A name of its own becomes a member.
BEGIN
    PERFORM make_roles();
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = login AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls))
       OR EXISTS (SELECT FROM pg_class WHERE relowner = (SELECT oid FROM pg_roles WHERE rolname = login))
       OR (kind = 'reader' AND EXISTS (SELECT FROM pg_roles WHERE rolname = login)
           AND has_table_privilege(login, 'tasks', 'INSERT, UPDATE, DELETE, TRUNCATE')) THEN
        RAISE EXCEPTION 'The role % may do more than %; choose another name.', login,
            CASE kind WHEN 'reader' THEN 'read' ELSE 'the service needs' END USING ERRCODE = 'AW006';
    ELSIF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = login) THEN
        EXECUTE format('CREATE ROLE %I', login);
    END IF;
    IF login <> role_of(kind) THEN
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM %I', login);
        EXECUTE format('GRANT %I TO %I', role_of(kind), login);
    END IF;
    PERFORM limit_role(login, kind);
    EXECUTE format('ALTER ROLE %I LOGIN INHERIT CONNECTION LIMIT %s PASSWORD %L', login,
                   CASE kind WHEN 'reader' THEN 20 ELSE -1 END, password);
END $$;

REVOKE EXECUTE ON FUNCTION grant_roles(), make_roles(), limit_role(name, text), make_login(text, name, text) FROM PUBLIC;

-- As the owner, for whom these are called: app may not delete history by itself, nor make tables.
ALTER FUNCTION forget_task_events() SECURITY DEFINER;
ALTER FUNCTION forget_task_events() SET search_path = public, pg_temp;

ALTER FUNCTION forget_audit_log(integer, integer) SET search_path = public, pg_temp;

CREATE OR REPLACE FUNCTION prepare_vectors() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
-- Makes the tables of vectors: a vector of a model for a turn or chunk, gone with its text.
BEGIN
    IF to_regclass('chunk_vectors') IS NOT NULL THEN
        RETURN;
    END IF;
    CREATE EXTENSION IF NOT EXISTS vector;
    PERFORM set_config('search_path', format('public, %s, pg_temp', extnamespace::regnamespace), true)
       FROM pg_extension WHERE extname = 'vector';  -- wherever the server's people put it; until this returns
    CREATE TABLE IF NOT EXISTS turn_vectors (
        id bigint PRIMARY KEY REFERENCES turns ON DELETE CASCADE,
        model text NOT NULL,
        dimensions integer NOT NULL,
        vector vector NOT NULL,
        CHECK (vector_dims(vector) = dimensions)
    );
    CREATE TABLE IF NOT EXISTS chunk_vectors (
        id bigint PRIMARY KEY REFERENCES conversation_chunks ON DELETE CASCADE,
        model text NOT NULL,
        dimensions integer NOT NULL,
        vector vector NOT NULL,
        CHECK (vector_dims(vector) = dimensions)
    );
    PERFORM grant_roles();
END $$;
