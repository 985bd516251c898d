-- name: add
-- Chunk ids count up within the session: 0001, 0002 … 9999, 10000 … What is chunked again gets its numbers back
-- (`freed`), and counts on from the last when it needs more.
INSERT INTO conversation_chunks (session_id, chunk_id, content, format, start_time, end_time, participants,
                                 extracted_items, first_turn, last_turn, delivery, language)
SELECT %(session_id)s,
       COALESCE((%(freed)s::text[])[c.position], to_char(last.n + c.position - freed.n, 'FM9999999990000')), c.content, c.format, c.start_time, c.end_time,
       c.participants, c.extracted_items, c.first_turn, c.last_turn, %(delivery)s,
       (SELECT language FROM sessions WHERE id = %(session_id)s)
  FROM (SELECT cardinality(%(freed)s::text[]) AS n) AS freed,
       (SELECT COALESCE(max(chunk_id::integer), 0) AS n
          FROM (SELECT chunk_id FROM conversation_chunks WHERE session_id = %(session_id)s
                UNION ALL SELECT unnest(%(freed)s::text[])) AS known (chunk_id)
         WHERE chunk_id ~ '^[0-9]{1,9}$') AS last,
       ROWS FROM (jsonb_to_recordset(%(chunks)s) AS (
           content text, format text, start_time timestamptz, end_time timestamptz, participants jsonb,
           extracted_items jsonb, first_turn bigint, last_turn bigint))
       WITH ORDINALITY AS c (content, format, start_time, end_time, participants, extracted_items, first_turn,
                             last_turn, position)
 ORDER BY c.position

-- name: listing
SELECT c.id, c.session_id, c.chunk_id, c.content, c.format, c.start_time, c.end_time, c.participants,
       c.extracted_items, c.metadata, c.created, f.seq AS first_turn, l.seq AS last_turn
  FROM conversation_chunks c LEFT JOIN turns f ON f.id = c.first_turn LEFT JOIN turns l ON l.id = c.last_turn
 WHERE c.session_id = %(session_id)s ORDER BY length(c.chunk_id), c.chunk_id LIMIT %(limit)s
