-- Every move of a task is one function, so that psql, HTTP, MCP and the runner obey one rule.
-- Time is the database's clock. A holder proves its claim by the token; a lapsed lease is no claim.
-- SQLSTATEs: AW001 claim lost, AW002 move not allowed, AW003 agent at capacity, AW004 unknown agent,
--            AW005 unknown task, AW006 argument out of range, AW007 completion not accepted.

CREATE FUNCTION refuse_move(wanted_id text, token uuid, move text) RETURNS void LANGUAGE plpgsql AS $$
-- Says why a guarded UPDATE found no row. The nil token stands for none given.
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

CREATE FUNCTION refuse_claim(wanted_id text, token uuid, move text) RETURNS void LANGUAGE sql AS $$
    SELECT refuse_move(wanted_id, COALESCE(token, '00000000-0000-0000-0000-000000000000'), move)
$$;

CREATE FUNCTION say_mover(actor text, reason text DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
-- Who moves tasks in the statements that follow, and why: for task_events.
    SELECT set_config('ai_webhook.actor', COALESCE(actor, ''), true),
           set_config('ai_webhook.reason', COALESCE(reason, ''), true)
$$;

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

CREATE FUNCTION expire_claims() RETURNS integer LANGUAGE plpgsql AS $$
-- Returns tasks past their lease to `pending`, or ends them when they have no try left, and makes claimable what
-- waited for its time. Answers how many leases lapsed. A row that somebody is moving right now is left to them.
DECLARE
    moment       timestamptz := clock_timestamp();
    lapsed_count integer;
BEGIN
    PERFORM say_mover('lease', 'the lease lapsed');
    WITH lapsed AS (
        SELECT id FROM tasks WHERE status IN ('claimed', 'running') AND lease_until <= moment
         ORDER BY lease_until FOR UPDATE SKIP LOCKED
    )
    UPDATE tasks t SET attempts = attempts + 1,
           status = CASE WHEN attempts + 1 >= max_attempts THEN 'failed' ELSE 'pending' END,
           error_message = 'The lease of ' || claimed_by || ' lapsed at '
                           || to_char(lease_until AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC.'
      FROM lapsed WHERE t.id = lapsed.id;
    GET DIAGNOSTICS lapsed_count = ROW_COUNT;
    WITH due AS (
        SELECT id FROM tasks WHERE status = 'pending' AND not_before <= moment FOR UPDATE SKIP LOCKED
    )
    UPDATE tasks t SET not_before = NULL FROM due WHERE t.id = due.id;
    RETURN lapsed_count;
END $$;

CREATE FUNCTION free_slots(wanted_agent text, places integer, most integer) RETURNS integer[] LANGUAGE plpgsql AS $$
-- Places of the agent that nobody holds and no other claim is taking right now, at most `most`. A place is locked
-- by an advisory lock until the transaction ends, and only then looked at: a claim that has just committed is seen.
-- tasks_slots, a unique index, is the last word.
DECLARE
    place integer;
    found integer[] := '{}';
BEGIN
    -- After the limit was lowered the agent may hold places above it, which count like the others.
    most := LEAST(most, places - (SELECT count(*) FROM tasks t WHERE t.agent_name = wanted_agent AND t.slot IS NOT NULL));
    IF most < 1 THEN
        RETURN found;
    END IF;
    FOR place IN SELECT g FROM generate_series(1, places) AS g
                  WHERE NOT EXISTS (SELECT FROM tasks t WHERE t.agent_name = wanted_agent AND t.slot = g) LOOP
        IF pg_try_advisory_xact_lock(hashtext(wanted_agent), place)
           AND NOT EXISTS (SELECT FROM tasks t WHERE t.agent_name = wanted_agent AND t.slot = place) THEN
            found := found || place;
            EXIT WHEN cardinality(found) = most;
        END IF;
    END LOOP;
    RETURN found;
END $$;

CREATE FUNCTION queue_of(wanted_agent text, can jsonb) RETURNS TABLE (id text) LANGUAGE sql STABLE AS $$
-- What the agent may claim, most urgent first: tasks that name it, and tasks that name only capabilities it has.
-- Both halves read tasks_claimable in its order, so that the first rows come without reading the rest.
    SELECT q.id FROM (
        (SELECT t.id, t.priority, t.created FROM tasks t
          WHERE t.agent_name = wanted_agent
            AND t.status = 'pending' AND t.waiting_for = 0 AND t.not_before IS NULL
          ORDER BY t.priority DESC, t.created, t.id)
        UNION ALL
        (SELECT t.id, t.priority, t.created FROM tasks t
          WHERE t.agent_name IS NULL AND t.capabilities <@ can
            AND t.status = 'pending' AND t.waiting_for = 0 AND t.not_before IS NULL
          ORDER BY t.priority DESC, t.created, t.id)
    ) AS q ORDER BY q.priority DESC, q.created, q.id
$$;

CREATE FUNCTION fair_queue(wanted_agent text, can jsonb) RETURNS TABLE (id text) LANGUAGE sql STABLE AS $$
-- The first of the queue, those first whose session has fewer tasks held: one long session does not starve the others.
    WITH front AS MATERIALIZED (SELECT q.id FROM queue_of(wanted_agent, can) AS q LIMIT 500)
    SELECT t.id FROM front f JOIN tasks t ON t.id = f.id
     ORDER BY (SELECT count(*) FROM tasks h
                WHERE h.session_id = t.session_id AND h.status IN ('claimed', 'running')),
              t.priority DESC, t.created, t.id
$$;

CREATE FUNCTION claim_task(agent_name text, control_agent text, lease_seconds integer DEFAULT 300,
                           max_tasks integer DEFAULT 1, fair boolean DEFAULT false)
RETURNS TABLE (task_id text, session_id text, task_type text, title text, priority integer, input_data jsonb,
               claim_token uuid, lease_until timestamptz, attempt integer, session_title text, quote text)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_sort = off SET enable_seqscan = off AS $$
-- Gives the most urgent tasks to one agent, at most max_tasks and never past agents.max_concurrent. No row when
-- there is nothing to do; it never waits. `fair` puts tasks of sessions first of which fewer are held.
--
-- Many claims at once would all fight for the first rows of the queue. Here each puts a try-lock, which costs no
-- write and no wait, on the tasks it is about to take, and the others step over those. The UPDATE then looks again:
-- for a task that somebody took and committed in between, or is moving right now, the next in the queue is tried.
#variable_conflict use_column
DECLARE
    moment    timestamptz := clock_timestamp();  -- a variable, since an index cannot be searched by a volatile function
    lease     interval := check_lease(lease_seconds);
    agent     record;
    queue     refcursor;
    wanted    integer := max_tasks;
    slots     integer[];
    ids       text[];
    tried     text[] := '{}';
    candidate text;
    taken     integer;
BEGIN
    IF max_tasks IS NULL OR max_tasks NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'max_tasks is 1 to 1000, not %.', max_tasks USING ERRCODE = 'AW006';
    ELSIF control_agent IS NULL OR control_agent = '' THEN
        RAISE EXCEPTION 'control_agent names who claims; it is empty.' USING ERRCODE = 'AW006';
    END IF;
    SELECT a.max_concurrent AS places, a.capabilities AS can,
           EXISTS (SELECT FROM tasks t WHERE t.status IN ('claimed', 'running') AND t.lease_until <= moment)
           OR EXISTS (SELECT FROM tasks t WHERE t.status = 'pending' AND t.not_before <= moment) AS overdue,
           set_config('ai_webhook.actor', control_agent, true), set_config('ai_webhook.reason', '', true)
      INTO agent FROM agents a WHERE a.name = claim_task.agent_name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'There is no agent %.', claim_task.agent_name USING ERRCODE = 'AW004';
    END IF;
    IF agent.overdue THEN
        PERFORM expire_claims();
        PERFORM say_mover(control_agent);
    END IF;
    IF agent.places IS NOT NULL THEN
        slots := free_slots(claim_task.agent_name, agent.places, wanted);
        wanted := cardinality(slots);
        IF wanted = 0 THEN
            RAISE EXCEPTION 'Agent % already holds as many tasks as it may.', claim_task.agent_name
                USING ERRCODE = 'AW003';
        END IF;
    END IF;
    WHILE wanted > 0 LOOP
        IF fair THEN
            OPEN queue FOR SELECT id FROM fair_queue(claim_task.agent_name, agent.can);
        ELSE
            OPEN queue FOR SELECT id FROM queue_of(claim_task.agent_name, agent.can);
        END IF;
        ids := '{}';
        LOOP
            FETCH queue INTO candidate;
            EXIT WHEN NOT FOUND;
            IF NOT candidate = ANY (tried) AND pg_try_advisory_xact_lock(4827031, hashtext(candidate)) THEN
                ids := ids || candidate;
                EXIT WHEN cardinality(ids) = wanted;
            END IF;
        END LOOP;
        CLOSE queue;
        EXIT WHEN ids = '{}';
        tried := tried || ids;
        RETURN QUERY
        WITH taken AS (
            UPDATE tasks t SET status = 'claimed', agent_name = claim_task.agent_name, claimed_by = control_agent,
                   claimed_at = moment, claim_token = gen_random_uuid(), lease_until = clock_timestamp() + lease,
                   slot = slots[array_position(ids, t.id)], progress = NULL, progress_note = NULL, progressed_at = NULL
             WHERE t.id IN (SELECT f.id FROM tasks f WHERE f.id = ANY (ids) AND f.status = 'pending'
                               FOR UPDATE SKIP LOCKED)
            RETURNING t.*
        )
        SELECT t.id, t.session_id, t.task_type, t.title, t.priority, t.input_data, t.claim_token, t.lease_until,
               t.attempts + 1, s.title, m.quote
          FROM taken t LEFT JOIN sessions s ON s.id = t.session_id LEFT JOIN memories m ON m.id = t.memory
         ORDER BY array_position(ids, t.id);
        GET DIAGNOSTICS taken = ROW_COUNT;
        wanted := wanted - taken;
        IF wanted > 0 AND slots IS NOT NULL THEN
            slots := ARRAY(SELECT free.slot FROM unnest(slots) AS free (slot) WHERE NOT EXISTS (
                SELECT FROM tasks t WHERE t.agent_name = claim_task.agent_name AND t.slot = free.slot));
        END IF;
    END LOOP;
END $$;

CREATE FUNCTION start_task(task_id text, claim_token uuid, process_id integer DEFAULT NULL) RETURNS tasks
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    task tasks;
BEGIN
    PERFORM say_mover((SELECT t.claimed_by FROM tasks t WHERE t.id = task_id));
    UPDATE tasks t SET status = 'running', process_id = COALESCE(start_task.process_id, t.process_id)
     WHERE t.id = task_id AND t.claim_token = start_task.claim_token AND t.status = 'claimed'
       AND t.lease_until > clock_timestamp()
    RETURNING t.* INTO task;
    IF task.id IS NULL THEN
        PERFORM refuse_claim(task_id, start_task.claim_token, 'started');
    END IF;
    RETURN task;
END $$;

CREATE FUNCTION renew_task(task_id text, claim_token uuid, lease_seconds integer DEFAULT 300,
                           progress real DEFAULT NULL, note text DEFAULT NULL) RETURNS tasks
LANGUAGE plpgsql AS $$
-- Extends the lease. The holder of a task that somebody cancelled gets it back with status `cancelled`: stop.
#variable_conflict use_column
DECLARE
    task  tasks;
    lease interval := check_lease(lease_seconds);
BEGIN
    UPDATE tasks t SET lease_until = clock_timestamp() + lease,
           progress = COALESCE(renew_task.progress, t.progress), progress_note = COALESCE(note, t.progress_note),
           progressed_at = CASE WHEN (renew_task.progress IS NOT NULL AND renew_task.progress IS DISTINCT FROM t.progress)
                                  OR (note IS NOT NULL AND note IS DISTINCT FROM t.progress_note)
                                THEN clock_timestamp() ELSE t.progressed_at END
     WHERE t.id = task_id AND t.claim_token = renew_task.claim_token AND t.lease_until > clock_timestamp()
    RETURNING t.* INTO task;
    IF task.id IS NULL THEN
        SELECT * INTO task FROM tasks t
         WHERE t.id = task_id AND t.last_token = renew_task.claim_token AND t.status = 'cancelled';
    END IF;
    IF task.id IS NULL THEN
        PERFORM refuse_claim(task_id, renew_task.claim_token, 'renewed');
    END IF;
    RETURN task;
END $$;

CREATE FUNCTION unmet_acceptance(rule jsonb, output_data jsonb, artifact_ids text[]) RETURNS text
LANGUAGE sql STABLE AS $$
-- Which part of a task's acceptance rule a completion does not meet; NULL when it meets all of them.
    SELECT CASE
        WHEN rule ? 'artifact_types' AND EXISTS (
                 SELECT FROM jsonb_array_elements_text(rule -> 'artifact_types') AS needed (type)
                  WHERE NOT EXISTS (SELECT FROM artifacts a WHERE a.id = ANY (artifact_ids) AND a.type = needed.type))
            THEN 'an artifact of each type in ' || (rule ->> 'artifact_types') || ' is needed'
        WHEN rule ? 'exit_code' AND (output_data -> 'exit_code') IS DISTINCT FROM (rule -> 'exit_code')
            THEN 'the exit code has to be ' || (rule ->> 'exit_code')
        WHEN rule ? 'output_matches' AND NOT COALESCE(output_data::text ~ (rule ->> 'output_matches'), false)
            THEN 'the output has to match ' || (rule ->> 'output_matches')
    END
$$;

CREATE FUNCTION complete_task(task_id text, claim_token uuid, output_data jsonb DEFAULT NULL,
                              artifacts text[] DEFAULT '{}') RETURNS tasks
LANGUAGE plpgsql AS $$
-- A completion that the task's acceptance rule does not accept changes nothing and says what is missing. A repeat
-- with the token that completed the task answers the task again and changes nothing, so that an agent whose answer
-- was lost on the way can ask once more.
#variable_conflict use_column
DECLARE
    task  tasks;
    unmet text;
BEGIN
    IF octet_length(output_data::text) > 1048576 THEN
        RAISE EXCEPTION 'The output is longer than 1 MiB; leave it as an artifact.' USING ERRCODE = 'AW006';
    END IF;
    PERFORM say_mover((SELECT t.claimed_by FROM tasks t WHERE t.id = task_id));
    UPDATE tasks t SET status = 'completed', output_data = complete_task.output_data,
           artifacts = COALESCE(complete_task.artifacts, '{}'), error_message = NULL,
           started = COALESCE(t.started, t.claimed_at)
     WHERE t.id = task_id AND t.claim_token = complete_task.claim_token AND t.lease_until > clock_timestamp()
       AND (t.acceptance IS NULL
            OR unmet_acceptance(t.acceptance, complete_task.output_data, complete_task.artifacts) IS NULL)
    RETURNING t.* INTO task;
    IF task.id IS NULL THEN
        SELECT * INTO task FROM tasks t
         WHERE t.id = task_id AND t.last_token = complete_task.claim_token AND t.status = 'completed';
    END IF;
    IF task.id IS NULL THEN
        SELECT unmet_acceptance(t.acceptance, complete_task.output_data, complete_task.artifacts) INTO unmet
          FROM tasks t WHERE t.id = task_id AND t.claim_token = complete_task.claim_token
                         AND t.lease_until > clock_timestamp();
        IF unmet IS NOT NULL THEN
            RAISE EXCEPTION 'Task % cannot be completed like this: %.', task_id, unmet USING ERRCODE = 'AW007';
        END IF;
        PERFORM refuse_claim(task_id, complete_task.claim_token, 'completed');
    END IF;
    RETURN task;
END $$;

CREATE FUNCTION fail_task(task_id text, claim_token uuid, error text, retry boolean DEFAULT true) RETURNS tasks
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    task tasks;
BEGIN
    PERFORM say_mover((SELECT t.claimed_by FROM tasks t WHERE t.id = task_id), error);
    UPDATE tasks t SET attempts = attempts + 1, error_message = error,
           status = CASE WHEN retry AND attempts + 1 < max_attempts THEN 'pending' ELSE 'failed' END,
           not_before = CASE WHEN retry AND attempts + 1 < max_attempts
                             THEN clock_timestamp() + retry_delay(attempts + 1) END
     WHERE t.id = task_id AND t.claim_token = fail_task.claim_token AND t.lease_until > clock_timestamp()
    RETURNING t.* INTO task;
    IF task.id IS NULL THEN
        PERFORM refuse_claim(task_id, fail_task.claim_token, 'failed');
    END IF;
    RETURN task;
END $$;

CREATE FUNCTION release_task(task_id text, claim_token uuid) RETURNS tasks LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    task tasks;
BEGIN
    PERFORM say_mover((SELECT t.claimed_by FROM tasks t WHERE t.id = task_id), 'released');
    UPDATE tasks t SET status = 'pending'
     WHERE t.id = task_id AND t.claim_token = release_task.claim_token AND t.lease_until > clock_timestamp()
    RETURNING t.* INTO task;
    IF task.id IS NULL THEN
        PERFORM refuse_claim(task_id, release_task.claim_token, 'released');
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
    PERFORM say_mover((SELECT t.claimed_by FROM tasks t WHERE t.id = task_id), ask_task.question);
    UPDATE tasks t SET status = 'needs_input', question = ask_task.question
     WHERE t.id = task_id AND t.claim_token = ask_task.claim_token AND t.lease_until > clock_timestamp()
    RETURNING t.* INTO task;
    IF task.id IS NULL THEN
        PERFORM refuse_claim(task_id, ask_task.claim_token, 'parked with a question');
    END IF;
    RETURN task;
END $$;

CREATE FUNCTION answer_task(task_id text, answer text, person text) RETURNS tasks LANGUAGE plpgsql AS $$
-- The answer joins input_data.answers, in the order in which questions were asked.
#variable_conflict use_column
DECLARE
    task tasks;
BEGIN
    PERFORM say_mover(person, answer);
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
    PERFORM say_mover(person, 'approved');
    UPDATE tasks t SET status = 'pending', input_data = t.input_data || jsonb_build_object('approved_by', person)
     WHERE t.id = task_id AND t.status = 'proposed'
    RETURNING t.* INTO task;
    IF task.id IS NULL THEN
        PERFORM refuse_move(task_id, NULL, 'approved');
    END IF;
    RETURN task;
END $$;

CREATE FUNCTION cancel_task(task_id text, reason text DEFAULT NULL, person text DEFAULT NULL) RETURNS tasks
LANGUAGE plpgsql AS $$
-- Also rejects what was proposed. A holder learns of it at its next renew.
#variable_conflict use_column
DECLARE
    task tasks;
BEGIN
    PERFORM say_mover(person, reason);
    UPDATE tasks t SET status = 'cancelled', error_message = reason
     WHERE t.id = task_id AND t.status NOT IN ('completed', 'failed', 'cancelled')
    RETURNING t.* INTO task;
    IF task.id IS NULL THEN
        PERFORM refuse_move(task_id, NULL, 'cancelled');
    END IF;
    RETURN task;
END $$;

CREATE FUNCTION register_agent(agent_name text, type text DEFAULT 'cli', command text DEFAULT NULL,
                               max_concurrent integer DEFAULT 4, capabilities jsonb DEFAULT '[]',
                               metadata jsonb DEFAULT '{}') RETURNS agents LANGUAGE sql AS $$
-- Makes an agent known, or says anew what it is; counts as a heartbeat.
    INSERT INTO agents AS a (name, type, command, max_concurrent, capabilities, metadata, last_heartbeat)
    VALUES (agent_name, type, command, max_concurrent, capabilities, metadata, clock_timestamp())
    ON CONFLICT (name) DO UPDATE
       SET type = EXCLUDED.type, command = COALESCE(EXCLUDED.command, a.command),
           max_concurrent = EXCLUDED.max_concurrent, capabilities = EXCLUDED.capabilities,
           metadata = a.metadata || EXCLUDED.metadata, status = 'available',
           last_heartbeat = EXCLUDED.last_heartbeat, updated = clock_timestamp()
    RETURNING *
$$;

CREATE FUNCTION heartbeat_agent(agent_name text) RETURNS agents LANGUAGE plpgsql AS $$
DECLARE
    agent agents;
BEGIN
    UPDATE agents a SET last_heartbeat = clock_timestamp(), updated = clock_timestamp(), status = 'available'
     WHERE a.name = agent_name RETURNING * INTO agent;
    IF agent.name IS NULL THEN
        RAISE EXCEPTION 'There is no agent %.', agent_name USING ERRCODE = 'AW004';
    END IF;
    RETURN agent;
END $$;

CREATE FUNCTION deregister_agent(agent_name text) RETURNS integer LANGUAGE plpgsql AS $$
-- Takes the agent offline and returns what it holds to the queue, without a try spent. Answers how many.
DECLARE
    returned integer;
BEGIN
    UPDATE agents a SET status = 'offline', updated = clock_timestamp() WHERE a.name = agent_name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'There is no agent %.', agent_name USING ERRCODE = 'AW004';
    END IF;
    PERFORM say_mover(agent_name, 'the agent was deregistered');
    UPDATE tasks t SET status = 'pending'
     WHERE t.agent_name = deregister_agent.agent_name AND t.status IN ('claimed', 'running');
    GET DIAGNOSTICS returned = ROW_COUNT;
    RETURN returned;
END $$;

CREATE FUNCTION refresh_agents() RETURNS void LANGUAGE sql AS $$
-- Writes what agent_overview derives into the columns of agents, for those who read the table.
    UPDATE agents a SET status = o.status, current_tasks = o.current_tasks
      FROM agent_overview o
     WHERE o.name = a.name AND (a.status, a.current_tasks) IS DISTINCT FROM (o.status, o.current_tasks)
       AND a.status <> 'error'
$$;

CREATE FUNCTION place_held_tasks() RETURNS trigger LANGUAGE plpgsql AS $$
-- An agent that had no limit gets one: what it holds already takes places, from the first free one above all others.
BEGIN
    UPDATE tasks t SET slot = h.slot
      FROM (SELECT u.id, row_number() OVER (ORDER BY u.claimed_at, u.id)
                         + COALESCE((SELECT max(o.slot) FROM tasks o WHERE o.agent_name = NEW.name), 0) AS slot
              FROM tasks u
             WHERE u.agent_name = NEW.name AND u.status IN ('claimed', 'running') AND u.slot IS NULL) AS h
     WHERE t.id = h.id;
    RETURN NULL;
END $$;
CREATE TRIGGER place_held AFTER UPDATE OF max_concurrent ON agents FOR EACH ROW
    WHEN (OLD.max_concurrent IS NULL AND NEW.max_concurrent IS NOT NULL) EXECUTE FUNCTION place_held_tasks();
