-- name: attach
-- Storing an artifact again under its id replaces what it holds.
INSERT INTO artifacts (id, session_id, task_id, type, name, content, bytes, format, metadata, delivery)
VALUES (COALESCE(%(id)s, 'artifact_' || left(replace(gen_random_uuid()::text, '-', ''), 12)), %(session_id)s,
        %(task_id)s, %(type)s, %(name)s, %(content)s, %(bytes)s, %(format)s, %(metadata)s, %(delivery)s)
ON CONFLICT (id) DO UPDATE
   SET type = EXCLUDED.type, name = EXCLUDED.name, content = EXCLUDED.content, bytes = EXCLUDED.bytes, format = EXCLUDED.format,
       metadata = EXCLUDED.metadata
 WHERE artifacts.session_id IS NOT DISTINCT FROM EXCLUDED.session_id
RETURNING id

-- name: get
SELECT id, session_id, task_id, type, name, CASE WHEN bytes IS NULL THEN content END AS content, format, metadata, created,
       sha256, size
  FROM artifacts WHERE id = %(id)s

-- name: content
SELECT name, format, COALESCE(bytes, convert_to_utf8(content)) AS content, bytes IS NULL AS is_text
  FROM artifacts WHERE id = %(id)s

-- name: listing
SELECT id, session_id, task_id, type, name, format, metadata, created, sha256, size FROM artifacts
 WHERE (%(session_id)s::text IS NULL OR session_id = %(session_id)s)
   AND (%(task_id)s::text IS NULL OR task_id = %(task_id)s)
   AND (%(before)s::text IS NULL OR (created, id) < (SELECT created, id FROM artifacts WHERE id = %(before)s))
 ORDER BY created DESC, id DESC LIMIT %(limit)s
