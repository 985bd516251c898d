-- What was stored before 0002 had triggers to count it and to keep the words of its tasks. Only sessions that count
-- nothing are looked at: since then, whatever is added is counted.
UPDATE sessions s
   SET conversation_chunk_count = c.chunks, memory_count = c.memories, task_count = c.tasks, artifact_count = c.artifacts
  FROM (SELECT s.id,
               (SELECT count(*) FROM conversation_chunks c WHERE c.session_id = s.id) AS chunks,
               (SELECT count(*) FROM memories m WHERE m.session_id = s.id) AS memories,
               (SELECT count(*) FROM tasks t WHERE t.session_id = s.id) AS tasks,
               (SELECT count(*) FROM artifacts a WHERE a.session_id = s.id) AS artifacts
          FROM sessions s
         WHERE s.conversation_chunk_count = 0 AND s.memory_count = 0 AND s.task_count = 0 AND s.artifact_count = 0) AS c
 WHERE c.id = s.id AND c.chunks + c.memories + c.tasks + c.artifacts > 0;

INSERT INTO task_words (task_id, words)
SELECT t.id, to_tsvector('english', t.title || ' ' || t.input_data::text) FROM tasks t
 WHERE NOT EXISTS (SELECT FROM task_words w WHERE w.task_id = t.id);
