-- name: known
SELECT path, file_version AS digest, row_version AS version FROM imported_files WHERE session_id = %(session_id)s

-- name: note
INSERT INTO imported_files (session_id, path, file_version, row_version)
VALUES (%(session_id)s, %(path)s, %(digest)s, %(version)s)
ON CONFLICT (session_id, path) DO UPDATE
   SET file_version = EXCLUDED.file_version, row_version = EXCLUDED.row_version, imported = clock_timestamp()

-- name: say_actor
SELECT say_actor('import', 'imported from a JSON file')

-- name: session_version
SELECT md5(ROW(title, participants, context, status, metadata)::text) AS version FROM sessions WHERE id = %(id)s

-- name: chunk_version
SELECT md5(ROW(content, format, extracted_items, metadata)::text) AS version
  FROM conversation_chunks WHERE session_id = %(session_id)s AND chunk_id = %(id)s

-- name: memory_version
SELECT md5(ROW(type, title, content, tags, review, merged_into, superseded_by)::text) AS version
  FROM memories WHERE session_id = %(session_id)s AND key = %(id)s

-- name: task_version
SELECT md5(ROW(agent_name, task_type, title, status, priority, input_data, output_data, attempts, claim_token)::text) AS version
  FROM tasks WHERE id = %(id)s

-- name: artifact_version
SELECT md5(ROW(type, name, sha256, metadata)::text) AS version FROM artifacts WHERE id = %(id)s

-- name: session_times
SELECT last_activity, forgets_until FROM sessions WHERE id = %(id)s FOR UPDATE

-- name: keep_last_activity
-- That it was imported is no activity of the session.
UPDATE sessions SET last_activity = %(last_activity)s WHERE id = %(id)s

-- name: put_session
INSERT INTO sessions AS s (id, title, participants, context, status, created, last_activity, completed_at, metadata, language)
VALUES (%(id)s, %(title)s, %(participants)s, %(context)s, %(status)s, COALESCE(%(created)s::timestamptz, now()), now(),
        CASE WHEN %(status)s = 'completed' THEN COALESCE(%(completed_at)s::timestamptz, %(last_activity)s::timestamptz) END,
        %(metadata)s, %(language)s)
ON CONFLICT (id) DO UPDATE
   SET title = EXCLUDED.title, participants = EXCLUDED.participants, context = EXCLUDED.context, status = EXCLUDED.status,
       completed_at = EXCLUDED.completed_at, metadata = EXCLUDED.metadata

-- name: place_after
-- Where the turns of a chunk begin that comes after this one.
SELECT p.seq, EXISTS (SELECT FROM turns t WHERE t.session_id = %(session_id)s AND t.seq >= p.seq) AS taken
  FROM (SELECT COALESCE((SELECT t.seq FROM conversation_chunks c JOIN turns t ON t.id = c.last_turn
                          WHERE c.session_id = %(session_id)s AND c.chunk_id = %(after)s), 0) + 1 AS seq) AS p

-- name: turns_of_chunk
SELECT t.id FROM conversation_chunks c
  JOIN turns f ON f.id = c.first_turn JOIN turns l ON l.id = c.last_turn
  JOIN turns t ON t.session_id = c.session_id AND t.seq BETWEEN f.seq AND l.seq
 WHERE c.session_id = %(session_id)s AND c.chunk_id = %(id)s

-- name: put_chunk
INSERT INTO conversation_chunks AS c (session_id, chunk_id, content, format, start_time, end_time, participants, extracted_items,
                                      metadata, first_turn, last_turn, created, language)
SELECT s.id, %(id)s, %(content)s, %(format)s, %(start_time)s, %(end_time)s, %(participants)s, %(extracted_items)s, %(metadata)s,
       %(first_turn)s, %(last_turn)s, COALESCE(%(created)s::timestamptz, now()), s.language
  FROM sessions s WHERE s.id = %(session_id)s
ON CONFLICT (session_id, chunk_id) DO UPDATE
   SET content = EXCLUDED.content, format = EXCLUDED.format, start_time = EXCLUDED.start_time, end_time = EXCLUDED.end_time,
       participants = EXCLUDED.participants, extracted_items = EXCLUDED.extracted_items, metadata = EXCLUDED.metadata,
       first_turn = EXCLUDED.first_turn, last_turn = EXCLUDED.last_turn

-- name: remove_turns
DELETE FROM turns WHERE id = ANY (%(ids)s)

-- name: put_memory
-- `updated` moves along, so that what the file says is not taken for a person's edit.
INSERT INTO memories AS m (session_id, key, type, title, content, tags, confidence, extractor, review, created, said_at, language)
SELECT s.id, %(id)s, %(type)s, %(title)s, %(content)s, %(tags)s, %(confidence)s, 'sender', 'accepted',
       COALESCE(%(created)s::timestamptz, now()), COALESCE(%(created)s::timestamptz, now()), s.language
  FROM sessions s WHERE s.id = %(session_id)s
ON CONFLICT (session_id, key) DO UPDATE
   SET type = EXCLUDED.type, title = EXCLUDED.title, content = EXCLUDED.content, tags = EXCLUDED.tags,
       confidence = EXCLUDED.confidence, updated = clock_timestamp()

-- name: name_agent
INSERT INTO agents (name, type, status) SELECT %(agent_name)s, 'cli', 'offline'
 WHERE NOT EXISTS (SELECT FROM agents WHERE name = %(agent_name)s)
ON CONFLICT DO NOTHING

-- name: put_task
-- The triggers keep what belongs to the state, and write the history.
INSERT INTO tasks (id, session_id, agent_name, task_type, title, status, priority, input_data, process_id, claimed_by, claimed_at,
                   started, completed, output_data, artifacts, error_message, attempts, question, depends_on, created)
VALUES (%(id)s, %(session_id)s, %(agent_name)s, %(task_type)s, %(title)s, %(status)s, %(priority)s, %(input_data)s, %(process_id)s,
        %(claimed_by)s, %(claimed_at)s, %(started)s, %(completed)s, %(output_data)s, %(artifacts)s, %(error_message)s,
        %(attempts)s, %(question)s, %(depends_on)s, COALESCE(%(created)s::timestamptz, clock_timestamp()))
ON CONFLICT (id) DO UPDATE
   SET agent_name = EXCLUDED.agent_name, task_type = EXCLUDED.task_type, title = EXCLUDED.title, status = EXCLUDED.status,
       priority = EXCLUDED.priority, input_data = EXCLUDED.input_data, process_id = EXCLUDED.process_id,
       claimed_by = EXCLUDED.claimed_by, claimed_at = EXCLUDED.claimed_at, started = EXCLUDED.started,
       completed = EXCLUDED.completed, output_data = EXCLUDED.output_data, artifacts = EXCLUDED.artifacts,
       error_message = EXCLUDED.error_message, attempts = EXCLUDED.attempts, question = EXCLUDED.question,
       depends_on = EXCLUDED.depends_on

-- name: put_artifact
INSERT INTO artifacts (id, session_id, task_id, type, name, content, bytes, format, metadata, created, language)
SELECT %(id)s, s.id, (SELECT t.id FROM tasks t WHERE t.id = %(task_id)s), %(type)s, %(name)s, %(content)s, %(bytes)s,
       %(format)s, %(metadata)s, COALESCE(%(created)s::timestamptz, now()), s.language
  FROM sessions s WHERE s.id = %(session_id)s
ON CONFLICT (id) DO UPDATE
   SET task_id = EXCLUDED.task_id, type = EXCLUDED.type, name = EXCLUDED.name, content = EXCLUDED.content,
       bytes = EXCLUDED.bytes, format = EXCLUDED.format, metadata = EXCLUDED.metadata
