-- name: record
-- Records raw deliveries once; a delivery that is known already stays as it is, and one that was forgotten is not taken.
-- It is in the hands of who records it for a minute; then the sweep may hand it out again.
INSERT INTO deliveries (id, source, delivery_id, event, received_at, content_type, body, sealed_with, session_id,
                        next_attempt_at)
SELECT %(id)s, %(source)s, %(delivery_id)s, %(event)s, %(received_at)s, %(content_type)s, %(body)s, %(sealed_with)s,
       %(session_id)s, clock_timestamp() + interval '60 seconds'
 WHERE NOT EXISTS (SELECT FROM forgotten WHERE key = %(id)s AND until > %(received_at)s)
ON CONFLICT DO NOTHING

-- name: take
-- The unfinished deliveries among these, locked, in the order in which they came; those that another worker has
-- right now are left to it. Others may go on pointing to them: who moves turns of theirs holds their session and does
-- not wait for who waits for that.
SELECT id, source, delivery_id, event, received_at, content_type, body, sealed_with, session_id, fetched,
       readings
  FROM deliveries WHERE id = ANY (%(ids)s) AND state = 'received'
 ORDER BY received_at, id FOR NO KEY UPDATE SKIP LOCKED

-- name: name_connection
SELECT set_config('application_name', %(name)s, true)

-- name: announcing
-- Those unfinished ones among these whose sources may only announce a transcript.
SELECT id, source, delivery_id, event, received_at, content_type, body, sealed_with, session_id, fetched,
       readings
  FROM deliveries WHERE id = ANY (%(ids)s) AND state = 'received' AND source = ANY (%(sources)s)
 ORDER BY received_at, id

-- name: telling
-- What tells the talk of this session and source together, as it came.
SELECT id, source, delivery_id, event, received_at, content_type, body, sealed_with, session_id, fetched,
       readings
  FROM deliveries WHERE session_id = %(session_id)s AND source = %(source)s AND extent <> 'part'
 ORDER BY received_at, id

-- name: keep_fetched
-- Who fetches has the delivery in hand for as long as the next fetch may take.
UPDATE deliveries SET body = %(body)s, fetched = %(fetched)s, sealed_with = %(sealed_with)s,
       next_attempt_at = clock_timestamp() + interval '60 seconds'
 WHERE id = %(id)s AND state = 'received'

-- name: finish
UPDATE deliveries SET state = %(state)s, processed_at = clock_timestamp(), attempts = attempts + 1,
       readings = readings + (%(state)s = 'processed')::integer, extent = %(extent)s,
       session_id = COALESCE(%(session_id)s, session_id), error = %(error)s, error_code = %(error_code)s
 WHERE id = %(id)s

-- name: record_failure
-- A try that ended with an error. It is tried again after 5, 10, 20 … s, or failed for good.
UPDATE deliveries
   SET attempts = attempts + 1, error_code = %(code)s, error = %(message)s,
       state = CASE WHEN %(retry)s AND attempts + 1 < %(max_attempts)s THEN 'received' ELSE 'failed' END,
       next_attempt_at = clock_timestamp() + make_interval(secs => LEAST(600, 5 * 2 ^ LEAST(attempts, 12)))
 WHERE id = %(id)s AND state = 'received'
RETURNING source, state

-- name: due
-- What PostgreSQL knows as unfinished and nobody has in hand.
SELECT id FROM deliveries
 WHERE state = 'received' AND next_attempt_at <= clock_timestamp()
 ORDER BY next_attempt_at LIMIT %(limit)s

-- name: postpone
-- Marks deliveries as handed out again, so that the next sweep does not hand them out once more.
UPDATE deliveries SET next_attempt_at = clock_timestamp() + make_interval(secs => %(seconds)s)
 WHERE id = ANY (%(ids)s) AND state = 'received'

-- name: replay
-- Puts deliveries back to be processed from the start.
UPDATE deliveries SET state = 'received', attempts = 0, error = NULL, error_code = NULL, next_attempt_at = now(),
       processed_at = NULL
 WHERE (%(ids)s::text[] IS NULL OR id = ANY (%(ids)s)) AND state = ANY (%(states)s)
   AND (%(source)s::text IS NULL OR source = %(source)s)
   AND (%(error_code)s::text IS NULL OR error_code = %(error_code)s)
   AND (%(session_id)s::text IS NULL OR session_id = %(session_id)s)
   AND (%(since)s::timestamptz IS NULL OR received_at >= %(since)s)
RETURNING id

-- name: get
SELECT id, source, delivery_id, event, received_at, content_type,
       octet_length(body) - 28 * (sealed_with IS NOT NULL)::integer AS body_bytes, session_id, state, attempts,
       error_code, error, processed_at
  FROM deliveries WHERE id = %(id)s

-- name: body
SELECT content_type, body, sealed_with FROM deliveries WHERE id = %(id)s

-- name: listing
-- A page is found by an index alone, however rare what is asked for. Then its rows are read.
SELECT d.id, d.source, d.delivery_id, d.event, d.received_at,
       octet_length(d.body) - 28 * (d.sealed_with IS NOT NULL)::integer AS body_bytes, d.session_id, d.state, d.attempts,
       d.error_code, d.error, d.processed_at
  FROM (SELECT id FROM deliveries
         WHERE (%(state)s::text IS NULL OR state = %(state)s) AND (%(source)s::text IS NULL OR source = %(source)s)
           AND (%(error_code)s::text IS NULL OR error_code = %(error_code)s)
           AND (%(before)s::text IS NULL
                OR (received_at, id) < (SELECT received_at, id FROM deliveries WHERE id = %(before)s))
         ORDER BY received_at DESC, id DESC LIMIT %(limit)s) AS page
  JOIN deliveries d ON d.id = page.id
 ORDER BY d.received_at DESC, d.id DESC

-- name: count_fitting
SELECT count(*) AS n
  FROM (SELECT FROM deliveries
         WHERE state = ANY (%(states)s) AND (%(source)s::text IS NULL OR source = %(source)s)
           AND (%(error_code)s::text IS NULL OR error_code = %(error_code)s) LIMIT %(most)s + 1) AS fitting

-- name: count_states
SELECT state, count(*) AS n FROM deliveries GROUP BY state ORDER BY state

-- name: count_quarters
SELECT count_deliveries()

-- name: sealed_with
SELECT sealed_with, count(*) AS n FROM deliveries GROUP BY sealed_with

-- name: sealed_otherwise
-- The next deliveries, locked, that are sealed with another key than this one; null is for none.
SELECT id, body, fetched, sealed_with FROM deliveries
 WHERE id > %(after)s AND sealed_with IS DISTINCT FROM %(wanted)s::text
 ORDER BY id LIMIT %(limit)s FOR NO KEY UPDATE

-- name: reseal
UPDATE deliveries SET body = %(body)s, fetched = %(fetched)s, sealed_with = %(sealed_with)s WHERE id = %(id)s
