-- name: counts
-- How much there is, up to one more than `most`: past that nobody counts, neither the reader nor the database.
SELECT (SELECT count(*) FROM (SELECT FROM deliveries WHERE received_at >= %(since)s LIMIT %(most)s + 1) AS d) AS came_in,
       (SELECT count(*) FROM (SELECT FROM memories WHERE review = 'proposed' AND merged_into IS NULL
                                 AND superseded_by IS NULL LIMIT %(most)s + 1) AS m) AS memories_to_review,
       (SELECT count(*) FROM (SELECT FROM tasks WHERE status IN ('proposed', 'needs_input') LIMIT %(most)s + 1) AS t)
           AS tasks_to_review,
       (SELECT count(*) FROM (SELECT FROM tasks WHERE status IN ('claimed', 'running') LIMIT %(most)s + 1) AS t) AS held,
       (SELECT count(*) FROM (SELECT FROM tasks WHERE status = 'failed' LIMIT %(most)s + 1) AS t) AS tasks_failed,
       (SELECT count(*) FROM (SELECT FROM deliveries WHERE state = 'failed' LIMIT %(most)s + 1) AS d)
           AS deliveries_failed,
       EXISTS (SELECT FROM sessions) OR EXISTS (SELECT FROM deliveries) OR EXISTS (SELECT FROM tasks) AS is_anything

-- name: memories_to_review
SELECT m.id, m.session_id, m.type, left(m.title, 1000) AS title, left(m.quote, 1000) AS quote, m.speaker, m.confidence,
       m.created, t.seq AS turn_seq, left(s.title, 1000) AS session_title
  FROM (SELECT * FROM memories WHERE review = 'proposed' AND merged_into IS NULL AND superseded_by IS NULL
         ORDER BY id DESC LIMIT %(limit)s) AS m
  JOIN sessions s ON s.id = m.session_id LEFT JOIN turns t ON t.id = m.turn
 ORDER BY m.id DESC

-- name: tasks_for_people
SELECT id, session_id, left(title, 1000) AS title, status, agent_name, left(question, 1000) AS question, created
  FROM tasks WHERE status IN ('proposed', 'needs_input') ORDER BY created DESC, id DESC LIMIT %(limit)s

-- name: tasks_held
SELECT id, session_id, left(title, 1000) AS title, status, agent_name, claimed_by, claimed_at, lease_until, progress,
       left(progress_note, 1000) AS progress_note
  FROM tasks WHERE status IN ('claimed', 'running') ORDER BY lease_until DESC, id LIMIT %(limit)s

-- name: tasks_failed
SELECT id, session_id, left(title, 1000) AS title, agent_name, left(error_message, 1000) AS error_message, completed
  FROM tasks WHERE status = 'failed' ORDER BY completed DESC, id DESC LIMIT %(limit)s

-- name: deliveries_failed
SELECT id, source, event, received_at, session_id, error_code, left(error, 1000) AS error
  FROM deliveries WHERE state = 'failed' ORDER BY received_at DESC, id LIMIT %(limit)s

-- name: last_turn
SELECT COALESCE(max(seq), 0) AS seq, bool_or(start_seconds IS NOT NULL) FILTER (WHERE seq = 1) AS is_timed
  FROM turns WHERE session_id = %(session_id)s AND seq IN (1, (SELECT max(seq) FROM turns WHERE session_id = %(session_id)s))

-- name: turns
SELECT seq, speaker, role, left(text, %(chars)s) AS text, length(text) AS chars, left(caption, %(chars)s) AS caption,
       start_seconds, start_time
  FROM turns WHERE session_id = %(session_id)s AND seq BETWEEN %(first)s AND %(last)s ORDER BY seq

-- name: turn
SELECT text FROM turns WHERE session_id = %(session_id)s AND seq = %(seq)s

-- name: items
-- Memories of a window of turns, and with the first window those that come from no turn, each with its task.
WITH found AS (
    (SELECT m.*, t.seq FROM turns t JOIN memories m ON m.turn = t.id
      WHERE t.session_id = %(session_id)s AND t.seq BETWEEN %(first)s AND %(last)s)
    UNION ALL
    (SELECT m.*, NULL FROM memories m WHERE m.session_id = %(session_id)s AND m.turn IS NULL AND %(first)s = 1
      ORDER BY m.id LIMIT %(most)s)
)
SELECT f.id, f.type, left(f.title, 1000) AS title, left(f.quote, 1000) AS quote, f.speaker, f.review, f.confidence,
       f.seq AS turn_seq, f.char_start, f.char_end, f.superseded_by, f.merged_into, k.id AS task_id,
       k.status AS task_status
  FROM found f LEFT JOIN LATERAL (
       SELECT t.id, t.status FROM tasks t WHERE t.memory = f.id ORDER BY t.created DESC LIMIT 1) AS k ON true
 ORDER BY f.seq NULLS LAST, f.char_start, f.id LIMIT %(most)s

-- name: places
SELECT m.id, m.session_id, t.seq AS turn_seq,
       COALESCE(t.id IS NOT NULL AND m.review <> 'rejected' AND m.char_end > m.char_start
                AND m.char_start < LEAST(%(chars)s, length(t.text)), false) AS is_marked
  FROM memories m LEFT JOIN turns t ON t.id = m.turn WHERE m.id = ANY (%(ids)s::bigint[])

-- name: body
-- The beginning of a body, which may be long; what is sealed can only be opened whole.
SELECT content_type, octet_length(body) - 28 * (sealed_with IS NOT NULL)::integer AS bytes, sealed_with,
       CASE WHEN sealed_with IS NULL THEN substring(body FROM 1 FOR %(bytes)s) ELSE body END AS head
  FROM deliveries WHERE id = %(id)s

-- name: deliveries_by_source
SELECT source, state, sum(n)::bigint AS n, max(last) AS last
  FROM delivery_figures(%(since)s) GROUP BY source, state ORDER BY source, state

-- name: deliveries_over_time
-- How many came in a step of time, were done in which, and took how long (see delivery_counts).
SELECT date_bin(%(step)s, quarter, %(since)s) AS received, date_bin(%(step)s, processed, %(since)s) AS processed,
       state, class, sum(n)::bigint AS n
  FROM delivery_figures(%(since)s) GROUP BY 1, 2, 3, 4

-- name: unfinished_before
SELECT count(*) AS n
  FROM (SELECT FROM deliveries WHERE state = 'received' AND received_at < %(since)s LIMIT %(most)s) AS old

-- name: tasks_by_state
SELECT status, count(*) AS n FROM tasks WHERE created >= %(since)s GROUP BY status ORDER BY status

-- name: memories_by_week
-- Counted week by week in the index, which takes a quarter of the time of grouping them all.
SELECT t.type, s.week, m.n
  FROM unnest(%(types)s::text[]) AS t (type)
 CROSS JOIN generate_series(%(since)s::timestamptz, now(), interval '168 hours') AS s (week)
 CROSS JOIN LATERAL (SELECT count(*) AS n FROM memories
                      WHERE type = t.type AND created >= s.week AND created < s.week + interval '168 hours') AS m
 WHERE m.n > 0 ORDER BY s.week, t.type

-- name: confidence
-- Of the latest memories: how many lie in each tenth. As a numeric 0.7 is what it was written as.
SELECT LEAST(9, floor(confidence::numeric * 10))::integer AS tenth, count(*) AS n
  FROM (SELECT confidence FROM memories ORDER BY id DESC LIMIT %(most)s) AS latest
 WHERE confidence IS NOT NULL GROUP BY 1 ORDER BY 1

-- name: inbox_memories_newest
-- Ids of memories that wait for a review; each type by its index, so that a rare one is found as fast as any.
SELECT f.id FROM unnest(%(types)s::text[]) AS w (type)
 CROSS JOIN LATERAL (SELECT m.id FROM memories m
                      WHERE m.type = w.type AND m.review = 'proposed' AND m.merged_into IS NULL
                        AND m.superseded_by IS NULL AND m.id < %(before)s::bigint
                      ORDER BY m.id DESC LIMIT %(limit)s) AS f
 ORDER BY f.id DESC LIMIT %(limit)s

-- name: inbox_memories_least_certain
SELECT f.id FROM unnest(%(types)s::text[]) AS w (type)
 CROSS JOIN LATERAL (SELECT m.id, m.confidence FROM memories m
                      WHERE m.type = w.type AND m.review = 'proposed' AND m.merged_into IS NULL
                        AND m.superseded_by IS NULL AND (m.confidence, m.id) > (%(confidence)s::real, %(after)s::bigint)
                      ORDER BY m.confidence, m.id LIMIT %(limit)s) AS f
 ORDER BY f.confidence, f.id LIMIT %(limit)s

-- name: inbox_memories_of_session
SELECT m.id FROM (SELECT * FROM memories WHERE session_id = %(session_id)s OFFSET 0) AS m
 WHERE m.type = ANY (%(types)s) AND m.review = 'proposed' AND m.merged_into IS NULL AND m.superseded_by IS NULL
   AND m.id < %(before)s::bigint AND (m.confidence, m.id) > (%(confidence)s::real, %(after)s::bigint)
 ORDER BY CASE WHEN %(least_certain)s THEN m.confidence END, CASE WHEN %(least_certain)s THEN m.id END, m.id DESC
 LIMIT %(limit)s

-- name: inbox_tasks
-- Tasks that wait for people. With `apart` those that hang on a memory that waits itself are left out: it brings them.
-- Of these there may be very many, so no more than `most` are looked at; the last of those comes with `is_shown` false.
WITH looked_at AS MATERIALIZED (
    SELECT t.id, t.created, t.status, t.memory FROM tasks t
     WHERE t.status IN ('proposed', 'needs_input') AND (t.created, t.id) < (%(created)s::timestamptz, %(id)s::text)
     ORDER BY t.created DESC, t.id DESC LIMIT %(most)s
), marked AS (
    SELECT l.id, l.created, row_number() OVER (ORDER BY l.created DESC, l.id DESC) AS place,
           NOT %(apart)s OR l.status <> 'proposed' OR w.waits IS NULL AS is_shown
      FROM looked_at l LEFT JOIN LATERAL (  -- OFFSET: one memory at a time, and not all that wait
           SELECT true AS waits FROM memories m
            WHERE m.id = l.memory AND m.review = 'proposed' AND m.merged_into IS NULL AND m.superseded_by IS NULL
           OFFSET 0) AS w ON true
)
SELECT id, created, is_shown FROM marked WHERE is_shown OR place = %(most)s ORDER BY place LIMIT %(limit)s

-- name: inbox_questions
SELECT t.id, t.created, true AS is_shown FROM tasks t
 WHERE t.status = 'needs_input' AND (t.created, t.id) < (%(created)s::timestamptz, %(id)s::text)
 ORDER BY t.created DESC, t.id DESC LIMIT %(limit)s

-- name: inbox_tasks_of_session
SELECT t.id, t.created, true AS is_shown FROM (SELECT * FROM tasks WHERE session_id = %(session_id)s OFFSET 0) AS t
  LEFT JOIN LATERAL (
       SELECT true AS waits FROM memories m
        WHERE m.id = t.memory AND m.review = 'proposed' AND m.merged_into IS NULL AND m.superseded_by IS NULL
       OFFSET 0) AS w ON true
 WHERE (t.status = 'needs_input' OR t.status = 'proposed' AND NOT %(questions)s AND (NOT %(apart)s OR w.waits IS NULL))
   AND (t.created, t.id) < (%(created)s::timestamptz, %(id)s::text)
 ORDER BY t.created DESC, t.id DESC LIMIT %(limit)s

-- name: inbox_memory_rows
-- Memories as a reviewer sees them, in whatever state, each with its task: an open one if there is one.
SELECT m.id, m.session_id, m.type, left(m.title, %(chars)s) AS title, left(m.quote, %(chars)s) AS quote, m.speaker,
       m.confidence, m.tags, m.said_at, m.created, m.review, m.merged_into, m.superseded_by, m.reviewed_by,
       left(md5(m::text), 16) AS version, length(m.title) > %(chars)s AS is_cut, t.seq AS turn_seq,
       left(s.title, %(chars)s) AS session_title, k.id AS task_id, left(k.title, %(chars)s) AS task_title,
       k.status AS task_status, k.agent_name, k.capabilities, k.priority, k.not_before,
       COALESCE(k.input_data ->> 'due_at', k.input_data ->> 'due') AS due, k.version AS task_version
  FROM memories m JOIN sessions s ON s.id = m.session_id LEFT JOIN turns t ON t.id = m.turn
  LEFT JOIN LATERAL (
       SELECT o.*, left(md5(o::text), 16) AS version FROM tasks o WHERE o.memory = m.id
        ORDER BY o.status IN ('completed', 'failed', 'cancelled'), o.created DESC LIMIT 1) AS k ON true
 WHERE m.id = ANY (%(ids)s)

-- name: inbox_task_rows
SELECT t.id, t.session_id, left(t.title, %(chars)s) AS title, t.status, t.task_type, t.agent_name, t.capabilities,
       t.priority, t.not_before, COALESCE(t.input_data ->> 'due_at', t.input_data ->> 'due') AS due, t.doubt,
       left(t.question, %(chars)s) AS question, t.created, left(md5(t::text), 16) AS version,
       length(t.title) > %(chars)s AS is_cut, m.id AS memory, m.type AS memory_type, m.review AS memory_review,
       m.merged_into AS memory_merged_into, m.superseded_by AS memory_superseded_by, left(m.quote, %(chars)s) AS quote,
       m.speaker, m.confidence, m.said_at, u.seq AS turn_seq, left(s.title, %(chars)s) AS session_title
  FROM tasks t LEFT JOIN memories m ON m.id = t.memory LEFT JOIN turns u ON u.id = m.turn
  LEFT JOIN sessions s ON s.id = t.session_id
 WHERE t.id = ANY (%(ids)s)

-- name: alike_in_session
-- Memories of a session that may say the same as one of it, the likest first, of the first `most` of its type.
SELECT o.id FROM (SELECT m.id, m.title FROM memories m
                   WHERE m.session_id = %(session_id)s AND m.type = %(type)s AND m.id <> %(id)s
                     AND m.merged_into IS NULL AND m.superseded_by IS NULL LIMIT %(most)s) AS o
 WHERE similarity(left(o.title, 300), left(%(title)s, 300)) >= %(alike)s::real
 ORDER BY similarity(left(o.title, 300), left(%(title)s, 300)) DESC, o.id LIMIT %(limit)s

-- name: last_memory_event
SELECT actor, event, at FROM memory_events WHERE memory = %(id)s ORDER BY id DESC LIMIT 1

-- name: last_task_event
SELECT actor, to_status AS event, at, from_status FROM task_events WHERE task_id = %(id)s ORDER BY id DESC LIMIT 1

-- name: agent_names
SELECT name FROM agents ORDER BY name LIMIT %(limit)s

-- name: board
-- The first of each column: what people and agents wait for by age, what is held by its lease, what ended by its end.
(SELECT id, session_id, left(title, 1000) AS title, status, agent_name, priority, claimed_by, lease_until, progress,
        left(progress_note, 1000) AS progress_note, left(question, 1000) AS question,
        left(error_message, 1000) AS error_message, doubt, waiting_for, created, created AS at
   FROM tasks WHERE status = 'proposed' ORDER BY created DESC, id DESC LIMIT %(open)s)
UNION ALL
(SELECT id, session_id, left(title, 1000), status, agent_name, priority, claimed_by, lease_until, progress,
        left(progress_note, 1000), left(question, 1000), left(error_message, 1000), doubt, waiting_for, created, created
   FROM tasks WHERE status = 'pending' ORDER BY created DESC, id DESC LIMIT %(open)s)
UNION ALL
(SELECT id, session_id, left(title, 1000), status, agent_name, priority, claimed_by, lease_until, progress,
        left(progress_note, 1000), left(question, 1000), left(error_message, 1000), doubt, waiting_for, created, created
   FROM tasks WHERE status = 'needs_input' ORDER BY created DESC, id DESC LIMIT %(open)s)
UNION ALL
(SELECT id, session_id, left(title, 1000), status, agent_name, priority, claimed_by, lease_until, progress,
        left(progress_note, 1000), left(question, 1000), left(error_message, 1000), doubt, waiting_for, created, claimed_at
   FROM tasks WHERE status IN ('claimed', 'running') ORDER BY lease_until DESC, id LIMIT %(open)s)
UNION ALL
(SELECT id, session_id, left(title, 1000), status, agent_name, priority, claimed_by, lease_until, progress,
        left(progress_note, 1000), left(question, 1000), left(error_message, 1000), doubt, waiting_for, created, completed
   FROM tasks WHERE status = 'completed' ORDER BY completed DESC, id DESC LIMIT %(ended)s)
UNION ALL
(SELECT id, session_id, left(title, 1000), status, agent_name, priority, claimed_by, lease_until, progress,
        left(progress_note, 1000), left(question, 1000), left(error_message, 1000), doubt, waiting_for, created, completed
   FROM tasks WHERE status = 'failed' ORDER BY completed DESC, id DESC LIMIT %(ended)s)
UNION ALL
(SELECT id, session_id, left(title, 1000), status, agent_name, priority, claimed_by, lease_until, progress,
        left(progress_note, 1000), left(question, 1000), left(error_message, 1000), doubt, waiting_for, created, completed
   FROM tasks WHERE status = 'cancelled' ORDER BY completed DESC, id DESC LIMIT %(ended)s)

-- name: board_counts
-- How many there are of each column, up to one more than `most`.
SELECT (SELECT count(*) FROM (SELECT FROM tasks WHERE status = 'proposed'
                               LIMIT %(most)s + 1) AS t) AS proposed,
       (SELECT count(*) FROM (SELECT FROM tasks WHERE status = 'pending' LIMIT %(most)s + 1) AS t) AS pending,
       (SELECT count(*) FROM (SELECT FROM tasks WHERE status = 'needs_input' LIMIT %(most)s + 1) AS t) AS needs_input,
       (SELECT count(*) FROM (SELECT FROM tasks WHERE status IN ('claimed', 'running') LIMIT %(most)s + 1) AS t) AS held,
       (SELECT count(*) FROM (SELECT FROM tasks WHERE status = 'completed' LIMIT %(most)s + 1) AS t) AS completed,
       (SELECT count(*) FROM (SELECT FROM tasks WHERE status = 'failed' LIMIT %(most)s + 1) AS t) AS failed,
       (SELECT count(*) FROM (SELECT FROM tasks WHERE status = 'cancelled' LIMIT %(most)s + 1) AS t) AS cancelled

-- name: task_place
-- Where a task was said, what it waits for and what waits for it.
SELECT u.seq AS turn_seq, m.speaker, m.title AS memory_title, left(d.title, 1000) AS decision_title,
       d.superseded_by AS decision_superseded_by
  FROM tasks t LEFT JOIN memories m ON m.id = t.memory LEFT JOIN turns u ON u.id = m.turn
  LEFT JOIN memories d ON d.id = t.decision
 WHERE t.id = %(id)s

-- name: task_depends_on
SELECT d.id, left(d.title, 1000) AS title, d.status
  FROM tasks t JOIN tasks d ON d.id = ANY (t.depends_on) WHERE t.id = %(id)s ORDER BY d.created, d.id LIMIT %(limit)s

-- name: task_waited_for_by
SELECT d.id, left(d.title, 1000) AS title, d.status
  FROM tasks d WHERE d.waiting_for > 0 AND d.depends_on @> ARRAY[%(id)s::text] ORDER BY d.created, d.id LIMIT %(limit)s

-- name: task_moves
-- The latest moves of a task, first to last.
SELECT * FROM (
    SELECT id, at, actor, from_status, to_status, attempts, left(reason, %(chars)s) AS reason
      FROM task_events WHERE task_id = %(task_id)s ORDER BY id DESC LIMIT %(limit)s) AS e
 ORDER BY id

-- name: task_artifacts
-- What was left with a task, and what it names as its own, newest first, without contents.
SELECT id, session_id, task_id, type, name, format, created, size, substring(bytes FOR 16) AS head FROM artifacts
 WHERE id IN (SELECT a.id FROM artifacts a WHERE a.task_id = %(task_id)s
               UNION SELECT unnest(t.artifacts) FROM tasks t WHERE t.id = %(task_id)s)
 ORDER BY created DESC, id DESC LIMIT %(limit)s

-- name: task_log
-- The end of the newest log that was left with a task; `chars` is how many characters it has.
SELECT id, name, created, right(content, %(chars)s) AS tail, length(content) AS chars FROM artifacts
 WHERE task_id = %(task_id)s AND type = 'log' AND bytes IS NULL ORDER BY created DESC, id DESC LIMIT 1

-- name: artifact
-- With its first characters, or what is no text with its first bytes, by which its kind is known.
SELECT a.id, a.session_id, a.task_id, a.type, a.name, a.format, a.created, a.sha256, a.size, a.bytes IS NULL AS is_text,
       left(a.content, %(chars)s) AS content, length(a.content) AS chars, substring(a.bytes FOR 16) AS head,
       left(t.title, 1000) AS task_title, left(s.title, 1000) AS session_title
  FROM artifacts a LEFT JOIN tasks t ON t.id = a.task_id LEFT JOIN sessions s ON s.id = a.session_id
 WHERE a.id = %(id)s

-- name: picture
SELECT bytes, substring(bytes FOR 16) AS head, size FROM artifacts
 WHERE id = %(id)s AND bytes IS NOT NULL AND size <= %(bytes)s
