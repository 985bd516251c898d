-- name: remember
-- Stores memories and returns the id of each, in the order given. A key that the session already has is the same
-- memory: what the sender or a person stores again replaces it; what was merely extracted again changes nothing.
INSERT INTO memories AS m (session_id, key, type, title, content, tags, confidence, extractor, speaker, turn,
                           char_start, char_end, quote, review, delivery)
VALUES (%(session_id)s, %(key)s, %(type)s, %(title)s, %(content)s, %(tags)s, %(confidence)s, %(extractor)s, %(speaker)s,
        %(turn)s, %(char_start)s, %(char_end)s, %(quote)s, %(review)s, %(delivery)s)
ON CONFLICT (session_id, key) DO UPDATE
   SET (type, title, content, tags, confidence, extractor, updated)
     = (SELECT EXCLUDED.type, EXCLUDED.title, EXCLUDED.content, EXCLUDED.tags, EXCLUDED.confidence,
               EXCLUDED.extractor, clock_timestamp() WHERE EXCLUDED.extractor = 'sender' AND m.review <> 'edited'
        UNION ALL
        SELECT m.type, m.title, m.content, m.tags, m.confidence, m.extractor, m.updated
         WHERE EXCLUDED.extractor <> 'sender' OR m.review = 'edited')
RETURNING id

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
