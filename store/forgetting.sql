-- name: forget_session
SELECT forget_session(%(session_id)s, COALESCE(%(until)s, 'infinity'::timestamptz)) AS counted

-- name: names_of_person
SELECT names_of_person(%(person)s) AS name

-- name: sessions_of_person
SELECT id FROM sessions_of_person(%(person)s) AS id WHERE %(after)s::text IS NULL OR id > %(after)s ORDER BY id LIMIT %(limit)s

-- name: forget_person_in
SELECT forget_person_in(%(session_id)s, %(names)s) AS counted

-- name: note_person
SELECT note_forgotten('person', %(person)s, clock_timestamp())

-- name: sessions_of_source
-- In the order of their ids; those of which something came last before an instant.
SELECT s.id FROM sessions s
 WHERE s.id IN (SELECT d.session_id FROM deliveries d WHERE d.source = %(source)s)
   AND (%(before)s::timestamptz IS NULL OR s.last_activity < %(before)s) AND (%(after)s::text IS NULL OR s.id > %(after)s)
 ORDER BY s.id LIMIT %(limit)s

-- name: forget_rest_of_source
-- Deliveries that belong to no session: what was ignored, unknown or failed.
WITH gone AS (
    SELECT d.id FROM deliveries d
     WHERE d.source = %(source)s AND (%(before)s::timestamptz IS NULL OR d.received_at < %(before)s)
       AND NOT EXISTS (SELECT FROM sessions s WHERE s.id = d.session_id)
     ORDER BY d.id FOR UPDATE OF d SKIP LOCKED
)
SELECT forget_deliveries(ARRAY(SELECT id FROM gone)) AS n

-- name: is_forgotten
SELECT is_forgotten(%(session_id)s, %(received_at)s) AS is_forgotten

-- name: allow_again
-- Who makes a session by hand takes it up anew: what came before is dropped still.
UPDATE forgotten SET until = clock_timestamp() WHERE key = forgotten_key('session', %(session_id)s) AND until > clock_timestamp()

-- name: drop_deliveries
SELECT forget_deliveries(%(ids)s) AS n

-- name: to_look_for
SELECT key, kind, subject, at, NULLIF(until, 'infinity') AS until FROM forgotten WHERE subject IS NOT NULL ORDER BY at LIMIT %(limit)s

-- name: looked_for
UPDATE forgotten SET kind = NULL, subject = NULL WHERE key = %(key)s AND at = %(at)s

-- name: unread
-- Deliveries of which nobody knows the session: what failed, was ignored or unknown, or is not processed yet.
SELECT d.id, d.source, d.delivery_id, d.event, d.received_at, d.content_type, d.body, d.sealed_with,
       d.session_id, d.fetched, d.readings
  FROM (SELECT id FROM deliveries  -- by the index alone
         WHERE state <> 'processed' AND (received_at, id) > (%(received_at)s, %(id)s) AND received_at <= %(until)s
         ORDER BY received_at, id LIMIT %(limit)s) AS page
  JOIN deliveries d ON d.id = page.id
 ORDER BY d.received_at, d.id

-- name: forget_unsaid_words
SELECT forget_unsaid_words() AS is_done

-- name: analyze
-- What the planner knows of a column are words out of it.
ANALYZE sessions, turns, conversation_chunks, memories, tasks, artifacts, deliveries, search_words, memories_to_look_at,
        extraction_gaps, llm_answers, repeatable_requests, task_events, task_words

-- name: outlived_sessions
-- Sessions in which nothing happened for longer than the days of each of their sources, oldest first. `rules` is
-- {source: days}, `rest` the days of those that it does not name; without days a source is kept for ever.
SELECT s.id
  FROM sessions s
 WHERE s.last_activity < clock_timestamp() - make_interval(days => %(fewest)s)
   AND s.last_activity < clock_timestamp() - make_interval(days => COALESCE(
           (SELECT max(COALESCE((%(rules)s::jsonb ->> d.source)::integer, %(rest)s::integer, 1000000))
              FROM deliveries d WHERE d.session_id = s.id), %(rest)s::integer, 1000000))
   AND NOT EXISTS (SELECT FROM tasks t WHERE t.session_id = s.id AND t.status IN ('claimed', 'running'))
 ORDER BY s.last_activity, s.id LIMIT %(limit)s

-- name: forget_outlived_deliveries
-- Raw deliveries alone; what came of them stays. Those of a talk that goes on are read together, and wait until it ends.
WITH gone AS (
    SELECT d.id FROM deliveries d
     WHERE d.received_at < clock_timestamp() - make_interval(days => %(fewest)s)
       AND (d.received_at < clock_timestamp() - make_interval(days => COALESCE(%(raw)s::integer, 1000000))
            OR (d.received_at < clock_timestamp() - make_interval(days => COALESCE(
                    (%(rules)s::jsonb ->> d.source)::integer, %(rest)s::integer, 1000000))
                AND NOT EXISTS (SELECT FROM sessions s WHERE s.id = d.session_id)))
       AND d.state <> 'received' AND NOT EXISTS (SELECT FROM sessions s WHERE s.id = d.session_id AND s.live)
     ORDER BY d.received_at, d.id LIMIT %(limit)s FOR UPDATE OF d SKIP LOCKED
)
SELECT forget_deliveries(ARRAY(SELECT id FROM gone), clock_timestamp() + interval '30 days') AS n

-- name: forget_forgotten
-- What was only to be dropped for a while, once nothing from before can be on its way any more.
DELETE FROM forgotten WHERE until < clock_timestamp() - interval '30 days' AND subject IS NULL
