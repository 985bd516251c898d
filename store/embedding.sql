-- name: prepare
SELECT prepare_vectors()

-- name: turns_without
SELECT t.id, t.text || COALESCE(' ' || t.caption, '') AS text
  FROM turns t LEFT JOIN turn_vectors v ON v.id = t.id AND v.model = %(model)s
 WHERE v.id IS NULL ORDER BY t.id DESC LIMIT %(limit)s

-- name: chunks_without
SELECT c.id, c.content AS text
  FROM conversation_chunks c LEFT JOIN chunk_vectors v ON v.id = c.id AND v.model = %(model)s
 WHERE v.id IS NULL AND c.content <> '' ORDER BY c.id DESC LIMIT %(limit)s

-- name: keep_turns
-- A text that went away meanwhile is passed over.
INSERT INTO turn_vectors (id, model, dimensions, vector)
SELECT v.id, %(model)s, %(dimensions)s, v.vector::text::vector
  FROM jsonb_to_recordset(%(vectors)s) AS v (id bigint, vector jsonb)
 WHERE EXISTS (SELECT FROM turns t WHERE t.id = v.id)
ON CONFLICT (id) DO UPDATE SET model = EXCLUDED.model, dimensions = EXCLUDED.dimensions, vector = EXCLUDED.vector

-- name: keep_chunks
INSERT INTO chunk_vectors (id, model, dimensions, vector)
SELECT v.id, %(model)s, %(dimensions)s, v.vector::text::vector
  FROM jsonb_to_recordset(%(vectors)s) AS v (id bigint, vector jsonb)
 WHERE EXISTS (SELECT FROM conversation_chunks c WHERE c.id = v.id)
ON CONFLICT (id) DO UPDATE SET model = EXCLUDED.model, dimensions = EXCLUDED.dimensions, vector = EXCLUDED.vector
