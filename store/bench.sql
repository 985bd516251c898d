-- name: prepare
-- A table for the physical limit (one durable row a transaction), an agent without a limit, and a session.
DROP TABLE IF EXISTS bench_inserts;
CREATE TABLE bench_inserts (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, value text);
INSERT INTO sessions (id) VALUES ('bench') ON CONFLICT DO NOTHING;
SELECT register_agent('bench', 'bench', NULL, NULL)

-- name: empty
DELETE FROM tasks WHERE agent_name = 'bench'

-- name: fill
INSERT INTO tasks (id, session_id, agent_name, title)
SELECT 'bench-' || n, 'bench', 'bench', 'Task ' || n FROM generate_series(1, %(pending)s) AS n

-- name: settle
VACUUM (ANALYZE) tasks, task_events, task_words

-- name: insert
INSERT INTO bench_inserts (value) VALUES ('one durable row')

-- name: claim
SELECT task_id FROM claim_task('bench', 'bench')

-- name: claim_fifty
SELECT task_id FROM claim_task('bench', 'bench', 300, 50)
