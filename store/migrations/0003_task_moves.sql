-- Every move of a task is one function, so that psql, HTTP, MCP and the runner obey one rule.
-- Time is the database's clock. A holder proves its claim by the token; a lapsed lease is no claim.
-- SQLSTATEs: AW001 claim lost, AW002 move not allowed, AW003 agent at capacity, AW004 unknown agent,
--            AW005 unknown task, AW006 argument out of range.

CREATE FUNCTION refuse_move(wanted_id text, token uuid, move text) RETURNS void LANGUAGE plpgsql AS $$
-- Says why a guarded UPDATE found no row. `token` is NULL for moves that need no claim.
DECLARE
    task tasks;
BEGIN
    SELECT * INTO task FROM tasks WHERE id = wanted_id;
    IF task.id IS NULL THEN
        RAISE EXCEPTION 'There is no task %.', wanted_id USING ERRCODE = 'AW005';
    ELSIF token IS NOT NULL AND (task.claim_token IS DISTINCT FROM token OR task.lease_until <= clock_timestamp()) THEN
        RAISE EXCEPTION 'This claim on task % is lost: the task is %.', wanted_id,
            CASE WHEN task.claim_token = token THEN 'past its lease'
                 WHEN task.status IN ('claimed', 'running') THEN 'claimed by ' || task.claimed_by
                 ELSE task.status END USING ERRCODE = 'AW001';
    END IF;
    RAISE EXCEPTION 'Task % is %, so it cannot be %.', wanted_id, task.status, move USING ERRCODE = 'AW002';
END $$;

CREATE FUNCTION check_lease(lease_seconds integer) RETURNS interval LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF lease_seconds IS NULL OR lease_seconds NOT BETWEEN 1 AND 86400 THEN
        RAISE EXCEPTION 'A lease is 1 to 86400 seconds, not %.', lease_seconds USING ERRCODE = 'AW006';
    END IF;
    RETURN make_interval(secs => lease_seconds);
END $$;

CREATE FUNCTION retry_delay(attempts integer) RETURNS interval LANGUAGE sql IMMUTABLE AS $$
-- 10 s, 20 s, 40 s … at most an hour.
    SELECT make_interval(secs => LEAST(3600, 10 * 2 ^ LEAST(attempts - 1, 12)))
$$;

CREATE FUNCTION expire_claims() RETURNS integer LANGUAGE sql AS $$
-- Returns tasks past their lease to `pending`, or ends them when they have no try left. Answers how many.
-- A row that somebody is moving right now is left to them.
    WITH lapsed AS (
        SELECT id FROM tasks WHERE status IN ('claimed', 'running') AND lease_until <= clock_timestamp()
         ORDER BY lease_until FOR UPDATE SKIP LOCKED
    ), moved AS (
        UPDATE tasks t SET attempts = attempts + 1,
               status = CASE WHEN attempts + 1 >= max_attempts THEN 'failed' ELSE 'pending' END,
               error_message = 'The lease of ' || claimed_by || ' lapsed at '
                               || to_char(lease_until AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC.'
          FROM lapsed WHERE t.id = lapsed.id RETURNING 1
    )
    SELECT count(*)::integer FROM moved
$$;

CREATE FUNCTION claim_task(agent_name text, control_agent text, lease_seconds integer DEFAULT 300,
                           max_tasks integer DEFAULT 1)
RETURNS TABLE (task_id text, session_id text, task_type text, title text, priority integer, input_data jsonb,
               claim_token uuid, lease_until timestamptz, attempt integer, session_title text, quote text)
LANGUAGE plpgsql AS $$
-- Gives the most urgent tasks to one agent, at most max_tasks and never past agents.max_concurrent.
-- No row when there is nothing to do; it never waits for another task's row.
#variable_conflict use_column
DECLARE
    lease interval := check_lease(lease_seconds);
    free  integer;
BEGIN
    IF max_tasks IS NULL OR max_tasks NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'max_tasks is 1 to 1000, not %.', max_tasks USING ERRCODE = 'AW006';
    ELSIF control_agent IS NULL OR control_agent = '' THEN
        RAISE EXCEPTION 'control_agent names who claims; it is empty.' USING ERRCODE = 'AW006';
    END IF;
    PERFORM expire_claims();
    -- The agent's row is locked, so that two claims of one agent cannot both take its last free place.
    SELECT a.max_concurrent INTO free FROM agents a WHERE a.name = claim_task.agent_name FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'There is no agent %.', claim_task.agent_name USING ERRCODE = 'AW004';
    END IF;
    free := free - (SELECT count(*) FROM tasks t
                     WHERE t.agent_name = claim_task.agent_name AND t.status IN ('claimed', 'running'));
    IF free < 1 THEN
        RAISE EXCEPTION 'Agent % already holds as many tasks as it may.', claim_task.agent_name
            USING ERRCODE = 'AW003';
    END IF;
    RETURN QUERY
    WITH next AS (
        SELECT t.id FROM tasks t
         WHERE t.agent_name = claim_task.agent_name AND t.status = 'pending'
           AND (t.not_before IS NULL OR t.not_before <= clock_timestamp())
           AND NOT EXISTS (SELECT FROM unnest(t.depends_on) AS d (id) LEFT JOIN tasks p ON p.id = d.id
                            WHERE p.status IS DISTINCT FROM 'completed')
         ORDER BY t.priority DESC, t.created, t.id
         LIMIT LEAST(max_tasks, free) FOR UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE tasks t SET status = 'claimed', claimed_by = control_agent, claimed_at = clock_timestamp(),
               claim_token = gen_random_uuid(), lease_until = clock_timestamp() + lease,
               progress = NULL, progress_note = NULL
          FROM next WHERE t.id = next.id RETURNING t.*
    )
    SELECT t.id, t.session_id, t.task_type, t.title, t.priority, t.input_data, t.claim_token, t.lease_until,
           t.attempts + 1, s.title, m.quote
      FROM taken t LEFT JOIN sessions s ON s.id = t.session_id LEFT JOIN memories m ON m.id = t.memory
     ORDER BY t.priority DESC, t.created, t.id;
END $$;

CREATE FUNCTION start_task(task_id text, claim_token uuid, process_id integer DEFAULT NULL) RETURNS tasks
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    task tasks;
BEGIN
    UPDATE tasks t SET status = 'running', process_id = COALESCE(start_task.process_id, t.process_id)
     WHERE t.id = task_id AND t.claim_token = start_task.claim_token AND t.status = 'claimed'
       AND t.lease_until > clock_timestamp()
    RETURNING t.* INTO task;
    IF task.id IS NULL THEN
        PERFORM refuse_move(task_id, start_task.claim_token, 'started');
    END IF;
    RETURN task;
END $$;

CREATE FUNCTION renew_task(task_id text, claim_token uuid, lease_seconds integer DEFAULT 300,
                           progress real DEFAULT NULL, note text DEFAULT NULL) RETURNS tasks
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    task  tasks;
    lease interval := check_lease(lease_seconds);
BEGIN
    UPDATE tasks t SET lease_until = clock_timestamp() + lease,
           progress = COALESCE(renew_task.progress, t.progress), progress_note = COALESCE(note, t.progress_note)
     WHERE t.id = task_id AND t.claim_token = renew_task.claim_token AND t.lease_until > clock_timestamp()
    RETURNING t.* INTO task;
    IF task.id IS NULL THEN
        PERFORM refuse_move(task_id, renew_task.claim_token, 'renewed');
    END IF;
    RETURN task;
END $$;

CREATE FUNCTION complete_task(task_id text, claim_token uuid, output_data jsonb DEFAULT NULL,
                              artifacts text[] DEFAULT '{}') RETURNS tasks
LANGUAGE plpgsql AS $$
-- A repeat with the token that completed the task answers the task again and changes nothing, so that an
-- agent whose answer was lost on the way can ask once more.
#variable_conflict use_column
DECLARE
    task tasks;
BEGIN
    UPDATE tasks t SET status = 'completed', output_data = complete_task.output_data,
           artifacts = COALESCE(complete_task.artifacts, '{}'), error_message = NULL,
           completed_token = complete_task.claim_token, started = COALESCE(t.started, t.claimed_at)
     WHERE t.id = task_id AND t.claim_token = complete_task.claim_token AND t.lease_until > clock_timestamp()
    RETURNING t.* INTO task;
    IF task.id IS NULL THEN
        SELECT * INTO task FROM tasks t WHERE t.id = task_id AND t.completed_token = complete_task.claim_token;
    END IF;
    IF task.id IS NULL THEN
        PERFORM refuse_move(task_id, complete_task.claim_token, 'completed');
    END IF;
    RETURN task;
END $$;

CREATE FUNCTION fail_task(task_id text, claim_token uuid, error text, retry boolean DEFAULT true) RETURNS tasks
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    task tasks;
BEGIN
    UPDATE tasks t SET attempts = attempts + 1, error_message = error,
           status = CASE WHEN retry AND attempts + 1 < max_attempts THEN 'pending' ELSE 'failed' END,
           not_before = clock_timestamp() + retry_delay(attempts + 1)
     WHERE t.id = task_id AND t.claim_token = fail_task.claim_token AND t.lease_until > clock_timestamp()
    RETURNING t.* INTO task;
    IF task.id IS NULL THEN
        PERFORM refuse_move(task_id, fail_task.claim_token, 'failed');
    END IF;
    RETURN task;
END $$;

CREATE FUNCTION release_task(task_id text, claim_token uuid) RETURNS tasks LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    task tasks;
BEGIN
    UPDATE tasks t SET status = 'pending'
     WHERE t.id = task_id AND t.claim_token = release_task.claim_token AND t.lease_until > clock_timestamp()
    RETURNING t.* INTO task;
    IF task.id IS NULL THEN
        PERFORM refuse_move(task_id, release_task.claim_token, 'released');
    END IF;
    RETURN task;
END $$;

CREATE FUNCTION ask_task(task_id text, claim_token uuid, question text) RETURNS tasks LANGUAGE plpgsql AS $$
-- Parks the task until a person answers; the lease stops, no try is spent.
#variable_conflict use_column
DECLARE
    task tasks;
BEGIN
    IF ask_task.question IS NULL OR btrim(ask_task.question) = '' THEN
        RAISE EXCEPTION 'The question is empty.' USING ERRCODE = 'AW006';
    END IF;
    UPDATE tasks t SET status = 'needs_input', question = ask_task.question
     WHERE t.id = task_id AND t.claim_token = ask_task.claim_token AND t.lease_until > clock_timestamp()
    RETURNING t.* INTO task;
    IF task.id IS NULL THEN
        PERFORM refuse_move(task_id, ask_task.claim_token, 'parked with a question');
    END IF;
    RETURN task;
END $$;

CREATE FUNCTION answer_task(task_id text, answer text, person text) RETURNS tasks LANGUAGE plpgsql AS $$
-- The answer joins input_data.answers, in the order in which questions were asked.
#variable_conflict use_column
DECLARE
    task tasks;
BEGIN
    UPDATE tasks t SET status = 'pending', input_data = jsonb_set(t.input_data, '{answers}',
           COALESCE(t.input_data -> 'answers', '[]') || jsonb_build_object(
               'question', t.question, 'answer', answer, 'person', person, 'answered_at', now()))
     WHERE t.id = task_id AND t.status = 'needs_input'
    RETURNING t.* INTO task;
    IF task.id IS NULL THEN
        PERFORM refuse_move(task_id, NULL, 'answered');
    END IF;
    RETURN task;
END $$;

CREATE FUNCTION approve_task(task_id text, person text) RETURNS tasks LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    task tasks;
BEGIN
    UPDATE tasks t SET status = 'pending', input_data = t.input_data || jsonb_build_object('approved_by', person)
     WHERE t.id = task_id AND t.status = 'proposed'
    RETURNING t.* INTO task;
    IF task.id IS NULL THEN
        PERFORM refuse_move(task_id, NULL, 'approved');
    END IF;
    RETURN task;
END $$;

CREATE FUNCTION cancel_task(task_id text, reason text DEFAULT NULL) RETURNS tasks LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    task tasks;
BEGIN
    UPDATE tasks t SET status = 'cancelled', error_message = reason
     WHERE t.id = task_id AND t.status NOT IN ('completed', 'failed', 'cancelled')
    RETURNING t.* INTO task;
    IF task.id IS NULL THEN
        PERFORM refuse_move(task_id, NULL, 'cancelled');
    END IF;
    RETURN task;
END $$;
