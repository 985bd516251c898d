-- name: remember
-- Stores memories of different keys and returns the id of each. A key that the session already has is the same memory:
-- what the sender or a person stores again replaces it; what was merely extracted again changes nothing.
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
   SET (type, title, content, tags, confidence, extractor, updated)
     = (SELECT EXCLUDED.type, EXCLUDED.title, EXCLUDED.content, EXCLUDED.tags, EXCLUDED.confidence,
               EXCLUDED.extractor, clock_timestamp() WHERE EXCLUDED.extractor = 'sender' AND m.review <> 'edited'
        UNION ALL
        SELECT m.type, m.title, m.content, m.tags, m.confidence, m.extractor, m.updated
         WHERE EXCLUDED.extractor <> 'sender' OR m.review = 'edited')
RETURNING id, key

-- name: get
SELECT m.*, t.seq AS turn_seq FROM memories m LEFT JOIN turns t ON t.id = m.turn WHERE m.id = %(id)s

-- name: listing
SELECT m.id, m.session_id, m.type, m.key, m.title, m.content, m.tags, m.confidence, m.extractor, m.speaker, m.quote,
       t.seq AS turn_seq, m.char_start, m.char_end, m.review, m.superseded_by, m.created, m.updated
  FROM memories m LEFT JOIN turns t ON t.id = m.turn
 WHERE (%(type)s::text IS NULL OR m.type = %(type)s)
   AND (%(session_id)s::text IS NULL OR m.session_id = %(session_id)s)
   AND (%(tag)s::text IS NULL OR m.tags @> ARRAY[%(tag)s::text])
   AND (%(before)s::bigint IS NULL OR m.id < %(before)s)
 ORDER BY m.id DESC LIMIT %(limit)s
