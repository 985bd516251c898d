-- name: begin_snapshot
-- What is read in this transaction, and what a dump of the same snapshot holds, is one state of the database.
SELECT pg_export_snapshot() AS snapshot

-- name: tables
-- With the columns that are written; what is generated from them follows.
SELECT c.relname AS name,
       ARRAY(SELECT a.attname::text FROM pg_attribute a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
              ORDER BY a.attnum) AS columns
  FROM pg_class c
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname <> 'schema_migrations'
 ORDER BY c.relname

-- name: is_empty
SELECT NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm'))
       AND NOT EXISTS (SELECT FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND NOT EXISTS (
               SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')) AS is_empty

-- name: server
SELECT current_setting('server_version_num')::integer / 10000 AS major, current_database() AS database

-- name: migrations
SELECT name FROM schema_migrations ORDER BY name

-- name: empty
-- As a new database has it, lest a dump of this one bring the schema along.
DROP SCHEMA public CASCADE;
CREATE SCHEMA public;
ALTER SCHEMA public OWNER TO pg_database_owner;
GRANT USAGE ON SCHEMA public TO PUBLIC
