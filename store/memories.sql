-- name: remember
-- Stores memories of different keys and returns the id of each. A key that the session already has is the same memory:
-- what the sender or a person stores again replaces it; what was merely extracted again changes nothing. What stands in
-- for earlier readings (`replaced`: their deliveries) replaces what those gave and nobody has reviewed since, and gives
-- a memory whose turn went away its new one.
INSERT INTO memories AS m (session_id, key, type, title, content, tags, confidence, extractor, speaker, turn,
                           char_start, char_end, quote, review, delivery)
SELECT %(session_id)s, d.key, d.type, d.title, d.content, ARRAY(SELECT jsonb_array_elements_text(d.tags)), d.confidence,
       d.extractor, d.speaker, d.turn, d.char_start, d.char_end, d.quote, d.review, %(delivery)s
  FROM ROWS FROM (jsonb_to_recordset(%(memories)s) AS (
           key text, type text, title text, content jsonb, tags jsonb, confidence real, extractor text, speaker text,
           turn bigint, char_start integer, char_end integer, quote text, review text))
       WITH ORDINALITY AS d (key, type, title, content, tags, confidence, extractor, speaker, turn, char_start, char_end,
                             quote, review, position)
 ORDER BY d.position
ON CONFLICT (session_id, key) DO UPDATE
   SET (type, title, content, tags, confidence, extractor, delivery, updated)
     = (SELECT v.* FROM (SELECT CASE WHEN %(replaced)s::text[] = '{}'
                                     THEN EXCLUDED.extractor = 'sender' AND m.review <> 'edited'
                                     ELSE m.delivery = ANY (%(replaced)s)
                                          AND (m.review = 'proposed' OR (m.extractor = 'sender' AND m.review = 'accepted'))
                                END AS newer) AS c,
               LATERAL (SELECT EXCLUDED.type, EXCLUDED.title, EXCLUDED.content, EXCLUDED.tags, EXCLUDED.confidence,
                               EXCLUDED.extractor, EXCLUDED.delivery, clock_timestamp() WHERE c.newer
                        UNION ALL
                        SELECT m.type, m.title, m.content, m.tags, m.confidence, m.extractor, m.delivery, m.updated
                         WHERE c.newer IS NOT TRUE) AS v),
       (speaker, turn, char_start, char_end, quote)
     = (SELECT EXCLUDED.speaker, EXCLUDED.turn, EXCLUDED.char_start, EXCLUDED.char_end, EXCLUDED.quote
         WHERE m.turn IS NULL AND EXCLUDED.turn IS NOT NULL
        UNION ALL
        SELECT m.speaker, m.turn, m.char_start, m.char_end, m.quote WHERE m.turn IS NOT NULL OR EXCLUDED.turn IS NULL)
RETURNING id, key

-- name: in_use
-- What was extracted from these deliveries and a person has reviewed since, or whose task was moved.
SELECT m.id, m.key, m.type, m.title FROM memories m
 WHERE m.session_id = %(session_id)s AND m.delivery = ANY (%(deliveries)s)
   AND m.extractor NOT IN ('sender', 'person')
   AND (m.review <> 'proposed' OR EXISTS (
            SELECT FROM tasks t JOIN task_events e ON e.task_id = t.id
             WHERE t.memory = m.id AND e.from_status IS NOT NULL))

-- name: place_again
-- Gives memories whose turns were read again the first of the new ones that holds their quote.
UPDATE memories m SET turn = f.turn, char_start = f.start, char_end = f.start + length(m.quote)
  FROM (SELECT DISTINCT ON (k.id) k.id, t.id AS turn, strpos(t.text, k.quote) - 1 AS start
          FROM memories k JOIN turns t ON t.id = ANY (%(turns)s) AND strpos(t.text, k.quote) > 0
         WHERE k.session_id = %(session_id)s AND k.delivery = ANY (%(deliveries)s) AND k.turn IS NULL AND k.quote <> ''
         ORDER BY k.id, t.seq) AS f
 WHERE m.id = f.id

-- name: withdraw_tasks
-- Takes back tasks of memories that are going, as long as nobody has moved them. The conditions on the task itself are
-- looked at again when an agent claims it at the same moment.
DELETE FROM tasks t USING memories m
 WHERE t.memory = m.id AND m.session_id = %(session_id)s AND m.delivery = ANY (%(deliveries)s)
   AND m.id <> ALL (%(kept)s::bigint[])
   AND (m.review = 'proposed' OR (m.extractor = 'sender' AND m.review = 'accepted')) AND m.extractor <> 'person'
   AND t.status IN ('proposed', 'pending') AND t.last_token IS NULL
   AND NOT EXISTS (SELECT FROM task_events e WHERE e.task_id = t.id AND e.from_status IS NOT NULL)

-- name: withdraw
-- Takes back what these deliveries gave and their readings give no more, but for what has a task or was reviewed.
DELETE FROM memories m
 WHERE m.session_id = %(session_id)s AND m.delivery = ANY (%(deliveries)s) AND m.id <> ALL (%(kept)s::bigint[])
   AND (m.review = 'proposed' OR (m.extractor = 'sender' AND m.review = 'accepted')) AND m.extractor <> 'person'
   AND NOT EXISTS (SELECT FROM tasks t WHERE t.memory = m.id)

-- name: get
SELECT m.*, t.seq AS turn_seq FROM memories m LEFT JOIN turns t ON t.id = m.turn WHERE m.id = %(id)s

-- name: some
SELECT m.*, t.seq AS turn_seq FROM unnest(%(ids)s::bigint[]) WITH ORDINALITY AS w (id, place)
  JOIN memories m ON m.id = w.id LEFT JOIN turns t ON t.id = m.turn ORDER BY w.place

-- name: by_key
SELECT m.*, t.seq AS turn_seq FROM memories m LEFT JOIN turns t ON t.id = m.turn
 WHERE m.session_id = %(session_id)s AND m.key = %(key)s

-- name: query
-- Newest first; any shared tag will do.
SELECT m.*, t.seq AS turn_seq FROM memories m LEFT JOIN turns t ON t.id = m.turn
 WHERE (%(session_id)s::text IS NULL OR m.session_id = %(session_id)s)
   AND (%(type)s::text IS NULL OR m.type = %(type)s)
   AND (%(tags)s::text[] = '{}' OR m.tags && %(tags)s)
   AND m.review <> 'rejected'
 ORDER BY m.created DESC, m.id DESC LIMIT %(limit)s

-- name: listing
SELECT m.id, m.session_id, m.type, m.key, m.title, m.content, m.tags, m.confidence, m.extractor, m.speaker, m.quote,
       t.seq AS turn_seq, m.char_start, m.char_end, m.review, m.superseded_by, m.created, m.updated
  FROM memories m LEFT JOIN turns t ON t.id = m.turn
 WHERE (%(type)s::text IS NULL OR m.type = %(type)s)
   AND (%(session_id)s::text IS NULL OR m.session_id = %(session_id)s)
   AND (%(tag)s::text IS NULL OR m.tags @> ARRAY[%(tag)s::text])
   AND (%(before)s::bigint IS NULL OR m.id < %(before)s)
 ORDER BY m.id DESC LIMIT %(limit)s
