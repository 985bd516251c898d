-- name: ensure
-- Creates the session or fills in what the delivery says about it, and locks its row until the transaction ends:
-- two deliveries of one session are written one after the other.
INSERT INTO sessions AS s (id, title, participants, context, status, metadata, live, created, language)
VALUES (%(id)s, %(title)s, %(participants)s, %(context)s, COALESCE(%(status)s, 'active'), %(metadata)s,
        %(live)s, now(), COALESCE(%(language)s, %(default_language)s))
ON CONFLICT (id) DO UPDATE
   SET title = COALESCE(%(title)s, s.title),
       participants = CASE WHEN %(participants)s::jsonb = '[]' THEN s.participants
                           ELSE s.participants || (SELECT COALESCE(jsonb_agg(p), '[]')
                                                     FROM jsonb_array_elements(%(participants)s::jsonb) AS p
                                                    WHERE NOT s.participants @> jsonb_build_array(p)) END,
       context = COALESCE(%(context)s, s.context),
       status = COALESCE(%(status)s, s.status),
       metadata = s.metadata || %(metadata)s::jsonb,
       live = s.live OR %(live)s,
       language = COALESCE(%(language)s, s.language),
       last_activity = GREATEST(s.last_activity, clock_timestamp())
RETURNING xmax = 0 AS is_new, forgets_until

-- name: exists
SELECT EXISTS (SELECT FROM sessions WHERE id = %(id)s) AS exists

-- name: get
SELECT * FROM sessions WHERE id = %(id)s

-- name: listing
SELECT * FROM sessions
 WHERE (%(status)s::text IS NULL OR status = %(status)s)
   AND (%(before)s::text IS NULL
        OR (last_activity, id) < (SELECT last_activity, id FROM sessions WHERE id = %(before)s))
 ORDER BY last_activity DESC, id DESC LIMIT %(limit)s

-- name: lock_all
-- All that a transaction will write to, before it writes anything: from then on it waits for nobody.
SELECT FROM sessions WHERE id = ANY (%(ids)s) ORDER BY id FOR NO KEY UPDATE

-- name: lock
-- For a delivery that is read again: what it once said of the session may be out of date by now.
SELECT FROM sessions WHERE id = %(id)s FOR UPDATE

-- name: withdraw
-- Takes back the turns and chunks that these deliveries gave; answers the ids of the chunks.
WITH chunks AS (
    DELETE FROM conversation_chunks WHERE session_id = %(session_id)s AND delivery = ANY (%(deliveries)s)
    RETURNING chunk_id
), turns AS (
    DELETE FROM turns WHERE session_id = %(session_id)s AND delivery = ANY (%(deliveries)s)
)
SELECT chunk_id FROM chunks ORDER BY length(chunk_id), chunk_id

-- name: close_gaps
UPDATE turns t SET seq = n.seq
  FROM (SELECT id, row_number() OVER (ORDER BY seq) AS seq FROM turns WHERE session_id = %(session_id)s) AS n
 WHERE t.id = n.id AND t.seq <> n.seq

-- name: complete_idle
UPDATE sessions SET status = 'completed', live = false
 WHERE live AND status = 'active' AND last_activity < clock_timestamp() - make_interval(secs => %(seconds)s)

-- name: first_free_seq
-- Where the turns of a delivery received at this instant belong: after those of all earlier deliveries. `taken` when a
-- turn stands there or behind.
SELECT COALESCE(max(t.seq) FILTER (WHERE d.received_at IS NULL OR d.received_at <= %(received_at)s), 0) + 1 AS seq,
       COALESCE(max(t.seq) FILTER (WHERE d.received_at > %(received_at)s), 0) > 0 AS taken
  FROM turns t LEFT JOIN deliveries d ON d.id = t.delivery
 WHERE t.session_id = %(session_id)s

-- name: make_room
UPDATE turns SET seq = seq + %(places)s WHERE session_id = %(session_id)s AND seq >= %(seq)s

-- name: append_turns
INSERT INTO turns (session_id, seq, speaker, role, text, start_seconds, end_seconds, start_time, end_time, caption, delivery,
                   language)
SELECT %(session_id)s, %(seq)s + t.position - 1, t.speaker, t.role, t.text, t.start_seconds, t.end_seconds,
       t.start_time, t.end_time, t.caption, %(delivery)s, (SELECT language FROM sessions WHERE id = %(session_id)s)
  FROM ROWS FROM (jsonb_to_recordset(%(turns)s) AS (
           speaker text, role text, text text, start_seconds double precision, end_seconds double precision,
           start_time timestamptz, end_time timestamptz, caption text))
       WITH ORDINALITY AS t (speaker, role, text, start_seconds, end_seconds, start_time, end_time, caption, position)
 ORDER BY t.position
RETURNING id

-- name: turns
SELECT id, seq, speaker, role, text, start_seconds, end_seconds, start_time, end_time
  FROM turns WHERE session_id = %(session_id)s AND seq > %(after)s ORDER BY seq LIMIT %(limit)s

-- name: version
SELECT left(md5(s::text), 16) AS version FROM sessions s WHERE s.id = %(id)s

-- name: lock_version
SELECT left(md5(s::text), 16) AS version FROM sessions s WHERE s.id = %(id)s FOR UPDATE

-- name: update
-- One that a person completes is told live no more; one that is taken up again may be.
UPDATE sessions SET title = COALESCE(%(title)s, title), status = COALESCE(%(status)s, status),
       context = COALESCE(%(context)s, context), live = live AND COALESCE(%(status)s, status) <> 'completed'
 WHERE id = %(id)s
