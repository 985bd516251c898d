-- name: create
-- A task that is known already by its id is left as it is. One that comes of a memory (`own`) is not made where the
-- memory is rejected, or where a task for the same was still to be done when this was said; if that one only waits to be
-- approved, and this was said outright, it is. A task may name an agent that nobody has registered yet; it waits for it.
WITH drafts AS (
    SELECT d.*, m.merged_into, m.said_at, m.speaker, d.own AND m.review = 'rejected' AS is_rejected
      FROM ROWS FROM (jsonb_to_recordset(%(tasks)s) AS (
               id text, agent_name text, task_type text, title text, status text, priority integer, input_data jsonb,
               memory bigint, decision bigint, own boolean))
           WITH ORDINALITY AS d (id, agent_name, task_type, title, status, priority, input_data, memory, decision, own,
                                 position)
      LEFT JOIN LATERAL (SELECT * FROM memories WHERE id = d.memory OFFSET 0) AS m ON true
), others AS (
    SELECT d.position, o.id, o.status, d.status = 'pending' AND o.status = 'proposed' AS is_wanted, d.speaker
      FROM drafts d CROSS JOIN LATERAL (
           SELECT t.id, t.status
             FROM (SELECT d.memory UNION SELECT sayings_of(d.merged_into) WHERE d.merged_into IS NOT NULL) AS s
             JOIN tasks t ON t.memory = s.memory
            WHERE t.id <> d.id AND (t.memory = d.memory OR t.completed IS NULL OR t.completed > d.said_at)
            ORDER BY t.completed IS NOT NULL, t.created, t.id LIMIT 1) AS o
     WHERE d.own
), approved AS (
    UPDATE tasks t SET status = 'pending',
           input_data = t.input_data || jsonb_build_object('approved_by', COALESCE(NULLIF(o.speaker, ''), 'said outright'))
      FROM (SELECT DISTINCT ON (id) id, speaker FROM others WHERE is_wanted ORDER BY id, position) AS o
     WHERE t.id = o.id AND t.id IN (SELECT l.id FROM tasks l WHERE l.id = o.id AND l.status = 'proposed'
                                       FOR NO KEY UPDATE SKIP LOCKED)
), named AS (
    INSERT INTO agents (name, type, status)
    SELECT DISTINCT d.agent_name, 'unknown', 'offline' FROM drafts d
     WHERE NOT EXISTS (SELECT FROM agents a WHERE a.name = d.agent_name)
    ON CONFLICT DO NOTHING
)
INSERT INTO tasks (id, session_id, agent_name, task_type, title, status, priority, input_data, memory, decision, delivery)
SELECT d.id, %(session_id)s, d.agent_name, d.task_type, d.title, d.status, d.priority, d.input_data, d.memory, d.decision,
       %(delivery)s
  FROM drafts d
 WHERE d.is_rejected IS NOT TRUE AND NOT EXISTS (SELECT FROM others o WHERE o.position = d.position)
 ORDER BY d.position
ON CONFLICT DO NOTHING

-- name: claim_task
SELECT c.*, t.doubt, t.command
  FROM claim_task(%(agent_name)s, %(control_agent)s, %(lease_seconds)s::integer, %(max_tasks)s::integer, %(fair)s) AS c
  JOIN LATERAL told_with_claim(c.task_id) AS t ON true

-- name: claim_many
-- Several claims in one statement and one commit, each as if it came alone; what one takes the next does not see.
SELECT w.position::integer AS position, c.*, t.doubt, t.command
  FROM ROWS FROM (jsonb_to_recordset(%(claims)s) AS (
           agent_name text, control_agent text, lease_seconds integer, max_tasks integer, fair boolean))
       WITH ORDINALITY AS w (agent_name, control_agent, lease_seconds, max_tasks, fair, position),
       LATERAL claim_task(w.agent_name, w.control_agent, w.lease_seconds, w.max_tasks, w.fair) AS c,
       LATERAL told_with_claim(c.task_id) AS t
 ORDER BY w.position

-- name: complete_many
SELECT t.* FROM ROWS FROM (jsonb_to_recordset(%(completions)s) AS (
           task_id text, claim_token uuid, output_data jsonb, artifacts text[]))
       WITH ORDINALITY AS w (task_id, claim_token, output_data, artifacts, position),
       LATERAL complete_task(w.task_id, w.claim_token, w.output_data, w.artifacts) AS t
 ORDER BY w.position

-- name: add
-- A memory that it comes of makes it part of that memory's session. Its acceptance rule is tried, so that one which
-- cannot be applied is refused here and not at the completion.
INSERT INTO tasks (id, title, agent_name, capabilities, task_type, status, priority, input_data, session_id, memory,
                   not_before, depends_on, max_attempts, acceptance)
SELECT COALESCE(%(id)s, 'task_' || left(replace(gen_random_uuid()::text, '-', ''), 12)), %(title)s, %(agent_name)s,
        %(capabilities)s::jsonb, %(task_type)s, %(status)s, %(priority)s, %(input_data)s,
        COALESCE(%(session_id)s, (SELECT session_id FROM memories WHERE id = %(memory)s)), %(memory)s, %(not_before)s,
        %(depends_on)s, %(max_attempts)s, %(acceptance)s::jsonb
 WHERE unmet_acceptance(%(acceptance)s::jsonb, '{}', '{}') IS DISTINCT FROM ''
ON CONFLICT (id) DO NOTHING RETURNING id

-- name: order_command
-- What a client wants run; a task that is known already by its id is left as it is.
WITH named AS (
    INSERT INTO agents (name, type, status) SELECT %(agent_name)s, 'cli', 'offline'
     WHERE NOT EXISTS (SELECT FROM agents WHERE name = %(agent_name)s)
    ON CONFLICT DO NOTHING
)
INSERT INTO tasks (id, title, agent_name, task_type, input_data, command, delivery, max_attempts)
VALUES (%(id)s, %(title)s, %(agent_name)s, %(task_type)s, %(input_data)s, %(command)s::jsonb, %(delivery)s, %(max_attempts)s)
ON CONFLICT (id) DO NOTHING RETURNING id

-- name: is_command
-- Whether the task of this id is of the very same wish, so that its sender may learn how it ended.
SELECT EXISTS (SELECT FROM tasks WHERE id = %(id)s AND task_type = %(task_type)s AND input_data @> %(input_data)s
                  AND command IS NOT DISTINCT FROM %(command)s::jsonb) AS is_it

-- name: endings
SELECT w.id, t.status, t.output_data, t.error_message, t.artifacts
  FROM unnest(%(ids)s::text[]) AS w (id) LEFT JOIN tasks t ON t.id = w.id
 WHERE t.id IS NULL OR t.status IN ('completed', 'failed', 'cancelled')

-- name: update
UPDATE tasks SET title = COALESCE(%(title)s, title), agent_name = COALESCE(%(agent_name)s, agent_name),
       task_type = COALESCE(%(task_type)s, task_type), priority = COALESCE(%(priority)s, priority),
       input_data = COALESCE(%(input_data)s, input_data), not_before = COALESCE(%(not_before)s, not_before),
       depends_on = COALESCE(%(depends_on)s, depends_on), max_attempts = COALESCE(%(max_attempts)s, max_attempts)
 WHERE id = %(id)s AND status IN ('proposed', 'pending', 'needs_input')

-- name: refuse_update
SELECT refuse_move(%(id)s, NULL, 'changed')

-- name: version
SELECT left(md5(t::text), 16) AS version FROM tasks t WHERE t.id = %(id)s

-- name: lock_version
SELECT left(md5(t::text), 16) AS version FROM tasks t WHERE t.id = %(id)s FOR UPDATE

-- name: agents_of
SELECT DISTINCT agent_name FROM tasks WHERE id = ANY (%(ids)s) AND agent_name IS NOT NULL

-- name: is_claimable
SELECT EXISTS (SELECT FROM agents a, queue_of(a.name, a.capabilities) WHERE a.name = %(agent_name)s) AS claimable

-- name: listen
LISTEN ai_webhook_tasks

-- name: unlisten
UNLISTEN ai_webhook_tasks

-- name: start_task
SELECT * FROM start_task(%(task_id)s, %(claim_token)s, %(process_id)s::integer)

-- name: renew_task
SELECT * FROM renew_task(%(task_id)s, %(claim_token)s, %(lease_seconds)s::integer, %(progress)s::real, %(note)s)

-- name: complete_task
SELECT * FROM complete_task(%(task_id)s, %(claim_token)s, %(output_data)s, %(artifacts)s)

-- name: fail_task
SELECT * FROM fail_task(%(task_id)s, %(claim_token)s, %(error)s, %(retry)s)

-- name: release_task
SELECT * FROM release_task(%(task_id)s, %(claim_token)s)

-- name: ask_task
SELECT * FROM ask_task(%(task_id)s, %(claim_token)s, %(question)s)

-- name: answer_task
SELECT * FROM answer_task(%(task_id)s, %(answer)s, %(person)s)

-- name: has_answer
SELECT EXISTS (SELECT FROM tasks WHERE id = %(task_id)s AND status <> 'needs_input' AND input_data -> 'answers' @>
               jsonb_build_array(jsonb_build_object('answer', %(answer)s::text, 'person', %(person)s::text))) AS known

-- name: approve_task
SELECT * FROM approve_task(%(task_id)s, %(person)s)

-- name: cancel_task
SELECT * FROM cancel_task(%(task_id)s, %(reason)s, %(person)s)

-- name: finish_task
SELECT * FROM finish_task(%(task_id)s, %(person)s, %(output_data)s, %(artifacts)s)

-- name: retry_task
SELECT * FROM retry_task(%(task_id)s, %(person)s)

-- name: restore_task
SELECT * FROM restore_task(%(task_id)s, %(person)s)

-- name: expire_claims
SELECT expire_claims() AS expired

-- name: get
SELECT t.*, m.quote, m.key AS memory_key, s.title AS session_title
  FROM tasks t LEFT JOIN memories m ON m.id = t.memory LEFT JOIN sessions s ON s.id = t.session_id
 WHERE t.id = %(id)s

-- name: listing
SELECT t.id, t.title, t.session_id, t.agent_name, t.task_type, t.status, t.priority, t.claimed_by, t.lease_until,
       t.attempts, t.question, t.error_message, t.doubt, t.artifacts, t.created, t.updated, m.quote
  FROM tasks t LEFT JOIN memories m ON m.id = t.memory
 WHERE (%(status)s::text IS NULL OR t.status = %(status)s)
   AND (%(agent_name)s::text IS NULL OR t.agent_name = %(agent_name)s)
   AND (%(session_id)s::text IS NULL OR t.session_id = %(session_id)s)
   AND (%(before)s::text IS NULL OR (t.created, t.id) < (SELECT created, id FROM tasks WHERE id = %(before)s))
 ORDER BY t.created DESC, t.id DESC LIMIT %(limit)s

-- name: count_active
SELECT session_id, count(*) AS n FROM tasks
 WHERE session_id = ANY (%(session_ids)s) AND status NOT IN ('completed', 'failed', 'cancelled') GROUP BY session_id

-- name: events
SELECT at, actor, from_status, to_status, attempts, reason FROM task_events WHERE task_id = %(id)s ORDER BY id
