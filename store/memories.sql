-- name: remember
-- Stores memories of different keys and returns the id of each. A key that the session already has is the same memory:
-- what the sender or a person stores again replaces it; what was merely extracted again changes nothing. What stands in
-- for earlier readings (`replaced`: their deliveries) replaces what those gave and nobody has reviewed since, and gives
-- a memory whose turn went away its new one. A memory that stood goes on to stand; one that was merged by the rules is
-- merged as today's words say.
INSERT INTO memories AS m (session_id, key, type, title, content, tags, confidence, extractor, speaker, turn,
                           char_start, char_end, quote, review, merged_into, said_at, delivery, language)
SELECT %(session_id)s, d.key, d.type, d.title, d.content, ARRAY(SELECT jsonb_array_elements_text(d.tags)), d.confidence,
       d.extractor, d.speaker, d.turn, d.char_start, d.char_end, d.quote,
       COALESCE((SELECT r.review FROM memories r WHERE r.id = d.merged_into AND r.review = 'rejected'), d.review),
       d.merged_into,
       COALESCE((SELECT t.start_time FROM turns t WHERE t.id = d.turn),
                (SELECT received_at FROM deliveries WHERE id = %(delivery)s), clock_timestamp()), %(delivery)s,
       (SELECT language FROM sessions WHERE id = %(session_id)s)
  FROM ROWS FROM (jsonb_to_recordset(%(memories)s) AS (
           key text, type text, title text, content jsonb, tags jsonb, confidence real, extractor text, speaker text,
           turn bigint, char_start integer, char_end integer, quote text, review text, merged_into bigint))
       WITH ORDINALITY AS d (key, type, title, content, tags, confidence, extractor, speaker, turn, char_start, char_end,
                             quote, review, merged_into, position)
 ORDER BY d.position
ON CONFLICT (session_id, key) DO UPDATE
   SET (type, title, content, tags, confidence, extractor, delivery, merged_into, updated)
     = (SELECT v.* FROM (SELECT CASE WHEN %(replaced)s::text[] = '{}'
                                     THEN EXCLUDED.extractor = 'sender' AND m.review <> 'edited'
                                     ELSE m.delivery = ANY (%(replaced)s) AND NOT is_reviewed(m)
                                END AS newer) AS c,
               LATERAL (SELECT EXCLUDED.type, EXCLUDED.title, EXCLUDED.content, EXCLUDED.tags, EXCLUDED.confidence,
                               EXCLUDED.extractor, EXCLUDED.delivery,
                               CASE WHEN m.merged_into IS NOT NULL AND m.merged_by IS NULL
                                    THEN EXCLUDED.merged_into ELSE m.merged_into END,
                               clock_timestamp() WHERE c.newer
                        UNION ALL
                        SELECT m.type, m.title, m.content, m.tags, m.confidence, m.extractor, m.delivery,
                               m.merged_into, m.updated
                         WHERE c.newer IS NOT TRUE) AS v),
       (speaker, turn, char_start, char_end, quote)
     = (SELECT EXCLUDED.speaker, EXCLUDED.turn, EXCLUDED.char_start, EXCLUDED.char_end, EXCLUDED.quote
         WHERE m.turn IS NULL AND EXCLUDED.turn IS NOT NULL
        UNION ALL
        SELECT m.speaker, m.turn, m.char_start, m.char_end, m.quote WHERE m.turn IS NOT NULL OR EXCLUDED.turn IS NULL)
RETURNING id, key, COALESCE(merged_into, id) AS standing

-- name: said_before
-- For each draft what the session has under its key, and what says nearly the same; `free` is false where another
-- transaction writes the same words at this moment, which can be seen by neither.
WITH drafts AS MATERIALIZED (
    SELECT d.position, d.key, d.type, d.title, d.here,
           COALESCE((SELECT t.start_time FROM turns t WHERE t.id = d.turn), %(said_at)s::timestamptz) AS said_at,
           d.type NOT IN ('action_item', 'decision')
           OR pg_try_advisory_xact_lock(4827032, hashtext((memory_words(d.type, d.title))[1])) AS free
      FROM jsonb_to_recordset(%(drafts)s) AS d (position integer, key text, type text, title text, here boolean, turn bigint)
)
SELECT d.key, d.free IS NOT FALSE AS free, k.id AS known, COALESCE(k.merged_into, k.id) AS known_standing,
       k.title AS known_title, k.merged_into AS known_merged_into,
       k.id IS NOT NULL AND (k.delivery IS NULL OR k.delivery <> ALL (%(mine)s)) AS known_of_others,
       (SELECT r.superseded_at IS NULL OR r.superseded_at > d.said_at FROM memories r
         WHERE r.id = COALESCE(k.merged_into, k.id)) AS known_stands,
       n.id, n.session_id, n.title, n.speaker, n.owner
  FROM drafts d LEFT JOIN memories k ON k.session_id = %(session_id)s AND k.key = d.key
  LEFT JOIN LATERAL (SELECT * FROM near_memories(d.type, d.title, d.said_at,
                                                 CASE WHEN d.here THEN %(session_id)s END, %(alike)s::real) AS a
                      WHERE a.session_id <> %(session_id)s OR a.delivery IS NULL OR a.delivery <> ALL (%(mine)s)) AS n
    ON true
 ORDER BY d.position, n.likeness DESC, n.id

-- name: standing
SELECT id, COALESCE(merged_into, id) AS standing FROM memories WHERE id = ANY (%(ids)s)

-- name: hold_standing
-- Keeps these from being merged or deleted until the transaction ends. Those that somebody has right now are left out.
SELECT id FROM memories WHERE id = ANY (%(ids)s) AND merged_into IS NULL ORDER BY id FOR KEY SHARE SKIP LOCKED

-- name: look_at_later
INSERT INTO memories_to_look_at (memory) SELECT id FROM memories WHERE id = ANY (%(ids)s) ON CONFLICT DO NOTHING

-- name: to_look_at
SELECT l.memory AS id, m.session_id, m.type, m.title, m.speaker, m.quote, m.content, m.extractor, m.said_at, m.apart_from,
       m.merged_into IS NULL AND m.superseded_by IS NULL AS stands
  FROM memories_to_look_at l JOIN memories m ON m.id = l.memory
 ORDER BY l.since LIMIT %(limit)s

-- name: looked_at
DELETE FROM memories_to_look_at WHERE memory = %(id)s

-- name: near
SELECT n.id, n.session_id, n.title, n.speaker, n.owner
  FROM near_memories(%(type)s, %(title)s, %(said_at)s, %(session_id)s, %(alike)s::real) AS n
 WHERE n.id <> %(id)s AND NOT n.apart_from @> ARRAY[%(id)s::bigint]
   AND n.id <> ALL (%(apart_from)s::bigint[])

-- name: join_memories
SELECT join_memories(%(memory)s, %(root)s, NULL)

-- name: lock_memories
SELECT lock_memories(%(ids)s)

-- name: replaceable
SELECT c.memory, o.id, o.session_id, o.type, o.title, o.content
  FROM ROWS FROM (jsonb_to_recordset(%(claims)s) AS (memory bigint, parts text[])) WITH ORDINALITY AS c (memory, parts, place)
 CROSS JOIN LATERAL replaceable_memories(c.memory, c.parts) WITH ORDINALITY AS o (id, session_id, type, title, content, place)
 ORDER BY c.place, o.place

-- name: supersede
-- Lets memories take the place of others, whose sessions are locked for it; those of sessions that somebody else has
-- locked are left as they are. Answers what was replaced.
WITH pairs AS (
    SELECT p.old, p.new FROM jsonb_to_recordset(%(pairs)s) AS p (old bigint, new bigint)
), locked AS MATERIALIZED (
    SELECT s.id FROM sessions s WHERE s.id IN (SELECT m.session_id FROM memories m JOIN pairs p ON p.old = m.id)
     ORDER BY s.id FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE memories m SET superseded_by = COALESCE(n.merged_into, n.id), superseded_at = n.said_at
  FROM pairs p JOIN memories n ON n.id = p.new
 WHERE m.id = p.old AND m.superseded_by IS NULL AND m.session_id IN (SELECT id FROM locked)
RETURNING p.new AS id

-- name: decisions_here
-- Decisions of the session that were told by others than these deliveries and stand, the latest first.
SELECT m.id, m.title FROM (SELECT * FROM memories WHERE session_id = %(session_id)s OFFSET 0) AS m
 WHERE m.type = 'decision' AND m.superseded_by IS NULL AND m.review <> 'rejected'
   AND m.id <> ALL (%(ids)s::bigint[])
 ORDER BY m.said_at DESC, m.id DESC LIMIT 50

-- name: in_use
-- What was extracted from these deliveries and a person has reviewed since, or whose task was moved, or which stands for
-- what was said again, or was replaced.
SELECT m.id, m.key, m.type, m.title FROM memories m
 WHERE m.session_id = %(session_id)s AND m.delivery = ANY (%(deliveries)s) AND m.extractor NOT IN ('sender', 'person')
   AND (is_reviewed(m) OR m.superseded_by IS NOT NULL OR EXISTS (SELECT FROM memories e WHERE e.merged_into = m.id)
        OR EXISTS (SELECT FROM tasks t JOIN task_events e ON e.task_id = t.id
                    WHERE t.memory = m.id AND e.from_status IS NOT NULL))

-- name: place_again
-- Gives memories whose turns were read again the first of the new ones that holds their quote.
UPDATE memories m SET turn = f.turn, char_start = f.start, char_end = f.start + length(m.quote)
  FROM (SELECT DISTINCT ON (k.id) k.id, t.id AS turn, strpos(t.text, k.quote) - 1 AS start
          FROM memories k JOIN turns t ON t.id = ANY (%(turns)s) AND strpos(t.text, k.quote) > 0
         WHERE k.session_id = %(session_id)s AND k.delivery = ANY (%(deliveries)s) AND k.turn IS NULL AND k.quote <> ''
         ORDER BY k.id, t.seq) AS f
 WHERE m.id = f.id

-- name: lock_heirs
-- The other sessions that say again what is going, locked, as far as nobody else has them.
SELECT s.id FROM sessions s
 WHERE s.id IN (SELECT e.session_id FROM memories m JOIN memories e ON e.merged_into = m.id
                 WHERE m.session_id = %(session_id)s AND m.delivery = ANY (%(deliveries)s)
                   AND m.id <> ALL (%(kept)s::bigint[]) AND e.session_id <> m.session_id)
 ORDER BY s.id FOR NO KEY UPDATE SKIP LOCKED

-- name: hand_over_tasks
-- A task whose memory is going is the task of the next one that says the same, where there is one.
WITH going AS (
    SELECT m.id, m.merged_into IS NULL AS stands FROM memories m
     WHERE m.session_id = %(session_id)s AND m.delivery = ANY (%(deliveries)s) AND m.id <> ALL (%(kept)s::bigint[])
       AND NOT is_reviewed(m) AND m.extractor <> 'person'
), heirs AS (
    SELECT g.id, (SELECT e.id FROM memories e WHERE e.merged_into = g.id AND e.id NOT IN (SELECT id FROM going)
                   ORDER BY e.said_at, e.id LIMIT 1) AS heir
      FROM going g WHERE g.stands
)
UPDATE tasks t SET memory = h.heir FROM heirs h
 WHERE t.memory = h.id AND h.heir IS NOT NULL AND t.status NOT IN ('completed', 'failed', 'cancelled')
   AND NOT EXISTS (SELECT FROM tasks o WHERE o.memory = h.heir)

-- name: withdraw_tasks
-- Takes back tasks of memories that are going, as long as nobody has moved them. The conditions on the task itself are
-- looked at again when an agent claims it at the same moment.
DELETE FROM tasks t USING memories m
 WHERE t.memory = m.id AND m.session_id = %(session_id)s AND m.delivery = ANY (%(deliveries)s)
   AND m.id <> ALL (%(kept)s::bigint[]) AND NOT is_reviewed(m) AND m.extractor <> 'person'
   AND t.status IN ('proposed', 'pending') AND t.last_token IS NULL
   AND NOT EXISTS (SELECT FROM task_events e WHERE e.task_id = t.id AND e.from_status IS NOT NULL)

-- name: withdraw
-- Takes back what these deliveries gave and their readings give no more, but for what has a task or was reviewed, and for
-- what a session says again that somebody else is writing to.
DELETE FROM memories m
 WHERE m.session_id = %(session_id)s AND m.delivery = ANY (%(deliveries)s) AND m.id <> ALL (%(kept)s::bigint[])
   AND NOT is_reviewed(m) AND m.extractor <> 'person'
   AND NOT EXISTS (SELECT FROM tasks t WHERE t.memory = m.id)
   AND NOT EXISTS (SELECT FROM memories e WHERE e.merged_into = m.id AND e.session_id <> m.session_id
                                            AND e.session_id <> ALL (%(locked)s))

-- name: get
SELECT * FROM memory_overview WHERE id = %(id)s

-- name: evidence
SELECT e.evidence AS id, e.session_id, s.title AS session_title, e.turn_seq, e.title, e.quote, e.speaker, e.said_at
  FROM memory_evidence e LEFT JOIN sessions s ON s.id = e.session_id
 WHERE e.memory = %(id)s ORDER BY e.said_at, e.evidence

-- name: version
-- Of the one that stands for it, which is what an edit changes.
SELECT left(md5(m::text), 16) AS version FROM memories m WHERE m.id = standing_memory(%(id)s)

-- name: some
SELECT m.* FROM unnest(%(ids)s::bigint[]) WITH ORDINALITY AS w (id, place)
  JOIN memory_overview m ON m.id = w.id ORDER BY w.place

-- name: by_key
SELECT * FROM memory_overview WHERE session_id = %(session_id)s AND key = %(key)s

-- name: query
-- Newest first; any shared tag will do. What says the same is there once, and what was replaced or rejected is not.
SELECT m.* FROM memory_overview m
 WHERE (%(session_id)s::text IS NULL OR m.session_id = %(session_id)s)
   AND (%(type)s::text IS NULL OR m.type = %(type)s)
   AND (%(tags)s::text[] = '{}' OR m.tags && %(tags)s)
   AND m.review <> 'rejected' AND m.superseded_by IS NULL
   AND (m.merged_into IS NULL OR %(session_id)s::text IS NOT NULL AND is_first_here(m.id, m.merged_into, m.session_id))
 ORDER BY m.created DESC, m.id DESC LIMIT %(limit)s

-- name: listing
-- What says the same is there once: the one that stands, and of a single session what it says itself.
SELECT m.id, m.session_id, m.type, m.key, m.title, m.content, m.tags, m.confidence, m.extractor, m.speaker, m.quote,
       m.turn_seq, m.char_start, m.char_end, m.review, m.reviewed_by, m.superseded_by, m.superseded_at, m.merged_into,
       m.times_said, m.said_at, m.created, m.updated
  FROM memory_overview m
 WHERE (%(type)s::text IS NULL OR m.type = %(type)s)
   AND (%(session_id)s::text IS NULL OR m.session_id = %(session_id)s)
   AND (%(tag)s::text IS NULL OR m.tags @> ARRAY[%(tag)s::text])
   AND (%(review)s::text IS NULL OR m.review = %(review)s)
   AND (%(before)s::bigint IS NULL OR m.id < %(before)s)
   AND (m.merged_into IS NULL OR %(session_id)s::text IS NOT NULL AND is_first_here(m.id, m.merged_into, m.session_id))
 ORDER BY m.id DESC LIMIT %(limit)s

-- name: accept
SELECT id FROM accept_memory(%(id)s, %(person)s)

-- name: reject
SELECT id FROM reject_memory(%(id)s, %(person)s, %(reason)s)

-- name: restore
SELECT id FROM restore_memory(%(id)s, %(person)s)

-- name: merge
SELECT id FROM merge_memory(%(id)s, %(into)s, %(person)s)

-- name: split
SELECT id FROM split_memory(%(id)s, %(person)s)

-- name: supersede_one
SELECT id FROM supersede_memory(%(id)s, %(by)s, %(person)s)

-- name: reinstate
SELECT id FROM reinstate_memory(%(id)s, %(person)s)

-- name: edit
SELECT id FROM edit_memory(%(id)s, %(person)s, %(type)s, %(title)s, %(content)s::jsonb, %(tags)s::text[])
