-- name: prepare
-- A table for the physical limit (one durable row a transaction), an agent without a limit, and a session.
DROP TABLE IF EXISTS bench_inserts;
CREATE TABLE bench_inserts (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, value text);
INSERT INTO sessions (id) VALUES ('bench') ON CONFLICT DO NOTHING;
SELECT register_agent('bench', 'bench', NULL, NULL)

-- name: fill
-- So many pending tasks, beside so many that are done, and no others. As a replica takes rows: no trigger, no check of keys.
SET LOCAL session_replication_role = replica;
TRUNCATE tasks, task_events CASCADE;
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

-- name: table_bytes
-- Without indexes, which no backup holds.
SELECT sum(pg_table_size(c.oid))::bigint AS size FROM pg_class c
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'

-- name: add_sessions
INSERT INTO sessions (id) SELECT format('%%s-%%s', %(prefix)s::text, n) FROM generate_series(0, %(many)s - 1) AS n
ON CONFLICT DO NOTHING

-- name: fill_talks
WITH said AS (
    SELECT text, (number - 1) / %(a_session)s AS session, (number - 1) %% %(a_session)s AS place
      FROM unnest(%(texts)s::text[]) WITH ORDINALITY AS t (text, number)
), begun AS (
    INSERT INTO sessions (id) SELECT DISTINCT format('%%s-%%s', %(prefix)s::text, session) FROM said
)
INSERT INTO turns (session_id, seq, speaker, text, language)
SELECT format('%%s-%%s', %(prefix)s::text, session), place + 1, CASE place %% 2 WHEN 0 THEN 'Ada' ELSE 'Bo' END, text, 'english'
  FROM said ORDER BY session, place

-- name: chunk_talks
INSERT INTO conversation_chunks (session_id, chunk_id, content, first_turn, last_turn, language)
SELECT session_id, to_char(1 + (seq - 1) / %(a_chunk)s, 'FM0000'), string_agg(speaker || ': ' || text, E'\n' ORDER BY seq),
       min(id), max(id), 'english'
  FROM turns GROUP BY session_id, (seq - 1) / %(a_chunk)s ORDER BY min(id)

-- name: fill_chunks
INSERT INTO conversation_chunks (session_id, chunk_id, content, language)
SELECT format('%%s-%%s', %(prefix)s::text, (number - 1) / %(a_session)s), to_char(1 + (number - 1) %% %(a_session)s, 'FM0000'),
       text, 'english'
  FROM unnest(%(texts)s::text[]) WITH ORDINALITY AS t (text, number)

-- name: without_search
-- What is left of a database when nothing of it can be searched.
DROP TRIGGER count_words_inserted ON conversation_chunks;
DROP TRIGGER count_words_deleted ON conversation_chunks;
DROP TRIGGER count_words_updated ON conversation_chunks;
DROP TRIGGER forget_vector ON turns;
DROP TRIGGER forget_vector ON conversation_chunks;
DROP TRIGGER keep_words ON tasks;
ALTER TABLE turns DROP COLUMN lexemes;
ALTER TABLE conversation_chunks DROP COLUMN lexemes;
ALTER TABLE memories DROP COLUMN lexemes;
ALTER TABLE artifacts DROP COLUMN lexemes;
DROP INDEX conversation_chunks_words, memories_words

-- name: usual_turns
SELECT t.id, t.text, ts_rank(t.lexemes, q.words) AS rank
  FROM turns t, (SELECT replace(plainto_tsquery('english', %(query)s)::text, ' & ', ' | ')::tsquery AS words) AS q
 WHERE t.lexemes @@ q.words ORDER BY rank DESC LIMIT 10

-- name: usual_conversation_chunks
SELECT t.id, t.content, ts_rank(t.lexemes, q.words) AS rank
  FROM conversation_chunks t, (SELECT replace(plainto_tsquery('english', %(query)s)::text, ' & ', ' | ')::tsquery AS words) AS q
 WHERE t.lexemes @@ q.words ORDER BY rank DESC LIMIT 10

-- name: search_bytes
SELECT (SELECT sum(octet_length(text)) FROM turns) + (SELECT sum(octet_length(content)) FROM conversation_chunks) AS text,
       (SELECT sum(pg_column_size(lexemes)) FROM turns) + (SELECT sum(pg_column_size(lexemes)) FROM conversation_chunks)
       + pg_relation_size('turns_lexemes') + pg_relation_size('conversation_chunks_lexemes')
       + pg_relation_size('conversation_chunks_words') + pg_total_relation_size('search_words')
       + pg_total_relation_size('search_changes') AS kept

-- name: fill_queue
INSERT INTO tasks (agent_name, title) SELECT %(agent_name)s, 'Look up price ' || n FROM generate_series(1, %(tasks)s::integer) AS n

-- name: claim_to_completion
SELECT EXTRACT(epoch FROM completed - claimed_at)::float8 * 1000 AS milliseconds
  FROM tasks WHERE agent_name = %(agent_name)s AND status = 'completed' ORDER BY completed DESC LIMIT %(tasks)s

-- name: fill_memories
-- Of the last twelve weeks, said in the sessions there are: a quarter decisions, a fifth waiting for a review.
INSERT INTO memories (session_id, type, key, title, content, confidence, review, language, created, said_at, speaker)
SELECT s.ids[1 + n %% cardinality(s.ids)],
       CASE n %% 4 WHEN 0 THEN 'decision' WHEN 1 THEN 'idea' WHEN 2 THEN 'action_item' ELSE 'fact' END, 'made ' || n,
       format('%%s %%s %%s', t.words[1 + n %% cardinality(t.words)], t.words[1 + n / 7 %% cardinality(t.words)],
              t.words[1 + n / 49 %% cardinality(t.words)]),
       '{}', (n %% 100) / 100.0, CASE n %% 5 WHEN 0 THEN 'proposed' ELSE 'accepted' END, 'english', m.at, m.at,
       CASE n %% 2 WHEN 0 THEN 'Ada' ELSE 'Bo' END
  FROM generate_series(1, %(many)s) AS n
 CROSS JOIN (SELECT array_agg(id) AS ids FROM (SELECT id FROM sessions ORDER BY id LIMIT 20000) AS several) AS s
 CROSS JOIN (SELECT %(words)s::text[] AS words) AS t
 CROSS JOIN LATERAL (SELECT now() - n * (interval '84 days' / %(many)s) AS at) AS m

-- name: fill_tasks
-- Nine in ten are over, in the last week.
ALTER TABLE tasks DISABLE TRIGGER USER;
INSERT INTO tasks (id, agent_name, title, status, claimed_at, completed, created)
SELECT 'made-' || n, CASE n %% 2 WHEN 0 THEN 'codex' ELSE 'claude_code' END, 'Look up price ' || n,
       CASE WHEN n %% 10 = 0 THEN 'pending' WHEN n %% 97 = 0 THEN 'failed' ELSE 'completed' END,
       CASE WHEN n %% 10 > 0 THEN t.at END, CASE WHEN n %% 10 > 0 THEN t.at + interval '40 seconds' END, t.at
  FROM generate_series(1, %(many)s) AS n
 CROSS JOIN LATERAL (SELECT now() - n * (interval '7 days' / %(many)s) AS at) AS t;
ALTER TABLE tasks ENABLE TRIGGER USER;

-- name: fill_deliveries
-- Of the last thirty days; one in two hundred failed, one in a thousand is of a rare source.
INSERT INTO deliveries (id, source, delivery_id, event, received_at, content_type, body, state, attempts, error_code,
                        error, processed_at)
SELECT md5(n::text), CASE WHEN n %% 1000 = 0 THEN 'grain' WHEN n %% 2 = 0 THEN 'zoom' ELSE 'generic' END, n::text,
       'transcript', d.at, 'application/json', '{}', CASE WHEN n %% 200 = 0 THEN 'failed' ELSE 'processed' END, 1,
       CASE WHEN n %% 200 = 0 THEN 'no_turns' END, CASE WHEN n %% 200 = 0 THEN 'Nothing was said.' END,
       CASE WHEN n %% 200 > 0 THEN d.at + (0.05 + n %% 37 / 30.0) * interval '1 second' END
  FROM generate_series(1, %(many)s) AS n
 CROSS JOIN LATERAL (SELECT now() - n * (interval '30 days' / %(many)s) AS at) AS d;
DO $$ BEGIN FOR n IN 1..80 LOOP PERFORM count_deliveries(); END LOOP; END $$

-- name: settle_all
VACUUM (ANALYZE) sessions, turns, conversation_chunks, memories, tasks, task_events, artifacts, deliveries,
    delivery_quarters, delivery_counts, delivery_changes
