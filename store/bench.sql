-- name: prepare
-- A table for the physical limit (one durable row a transaction), an agent without a limit, and a session.
DROP TABLE IF EXISTS bench_inserts;
CREATE TABLE bench_inserts (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, value text);
INSERT INTO sessions (id) VALUES ('bench') ON CONFLICT DO NOTHING;
SELECT register_agent('bench', 'bench', NULL, NULL)

-- name: fill
-- So many pending tasks, beside so many that are done, and no others. As a replica takes rows: no trigger, no check of keys.
SET LOCAL session_replication_role = replica;
TRUNCATE tasks, task_events, task_words, artifacts;
INSERT INTO tasks (id, session_id, agent_name, title, status, completed)
SELECT 'done-' || n, 'bench', 'bench', 'Task ' || n, 'completed', now() FROM generate_series(1, %(done)s) AS n;
INSERT INTO tasks (id, session_id, agent_name, title)
SELECT 'bench-' || n, 'bench', 'bench', 'Task ' || n FROM generate_series(1, %(pending)s) AS n

-- name: claim
-- \gset wants a row: on a queue that has run dry the script fails, where it would seem fast.
SELECT task_id FROM claim_task('bench', 'bench') \gset c_

-- name: claim_fifty
-- As above: nothing to claim is a division by zero.
SELECT 1 / count(task_id) FROM claim_task('bench', 'bench', 300, 50);

-- name: claim_and_complete
SELECT task_id, claim_token FROM claim_task('bench', 'bench') \gset c_
SELECT status FROM complete_task(:c_task_id, :c_claim_token);

-- name: insert
INSERT INTO bench_inserts (value) VALUES ('one durable row');

-- name: take_time
SET statement_timeout = 0

-- name: checkpoint
CHECKPOINT
