-- What a claim costs, once more: one statement picks and locks, one takes and writes it down; the rules of a task as one
-- CHECK that is read in no time; a shorter index for the queue.

-- PostgreSQL reads a CHECK anew for each statement, and what it costs is its length: a row is shorter than its columns.
-- Each rule keeps its name as the constraint of the error.
CREATE FUNCTION task_is_whole(task tasks) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    held    boolean := task.status IN ('claimed', 'running');
    ended   boolean := task.status IN ('completed', 'failed', 'cancelled');
    problem text := CASE
        WHEN NOT (held OR ended OR task.status IN ('proposed', 'pending', 'needs_input')) THEN 'tasks_status_check'
        WHEN held <> (task.claim_token IS NOT NULL) THEN 'a_held_task_has_a_token'
        WHEN held <> (task.lease_until IS NOT NULL) THEN 'a_held_task_has_a_lease'
        WHEN held AND num_nulls(task.claimed_by, task.claimed_at) > 0 THEN 'a_held_task_has_a_holder'
        WHEN task.status = 'running' AND task.started IS NULL THEN 'a_running_task_has_started'
        WHEN ended <> (task.completed IS NOT NULL) THEN 'an_ended_task_has_its_time'
        WHEN (task.status = 'needs_input') <> (task.question IS NOT NULL) THEN 'an_asking_task_has_its_question'
        WHEN task.slot IS NOT NULL AND NOT held THEN 'only_a_held_task_has_a_slot'
        WHEN task.agent_name IS NULL AND task.capabilities = '[]' THEN 'a_task_is_for_an_agent_or_a_capability'
        WHEN jsonb_typeof(task.capabilities) <> 'array' THEN 'tasks_capabilities_check'
        WHEN task.id = '' OR length(task.id) > 200 THEN 'tasks_id_check'
        WHEN task.attempts < 0 THEN 'tasks_attempts_check'
        WHEN task.max_attempts < 1 THEN 'tasks_max_attempts_check'
        WHEN task.waiting_for < 0 THEN 'tasks_waiting_for_check'
        WHEN task.id = ANY (task.depends_on) THEN 'a_task_does_not_depend_on_itself'
        WHEN jsonb_typeof(task.acceptance) <> 'object' THEN 'tasks_acceptance_check'
        WHEN NOT task.progress BETWEEN 0 AND 1 THEN 'tasks_progress_check'
    END;
BEGIN
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION 'A task is refused: it breaks %.', problem USING ERRCODE = 'check_violation', CONSTRAINT = problem;
    END IF;
    RETURN true;
END $$;
ALTER TABLE tasks DROP CONSTRAINT a_task_is_whole, ADD CONSTRAINT a_task_is_whole CHECK (task_is_whole(tasks.*));
DROP FUNCTION task_is_whole(text, text, jsonb, text, text, timestamptz, uuid, timestamptz, integer, timestamptz,
                            timestamptz, text, integer, integer, text[], integer, jsonb, real);

-- The queue is walked from its head over the entries of what was claimed since the last VACUUM: short entries, and a
-- VACUUM that comes before there are many. Tasks of one statement are apart by their time, in the order they were given.
ALTER TABLE tasks ALTER COLUMN created SET DEFAULT clock_timestamp();
ALTER TABLE tasks SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
DROP INDEX tasks_claimable;
CREATE INDEX tasks_claimable ON tasks (agent_name, priority DESC, created)
    WHERE status = 'pending' AND waiting_for = 0 AND not_before IS NULL;

CREATE OR REPLACE FUNCTION queue_of(wanted_agent text, can jsonb) RETURNS TABLE (id text) LANGUAGE sql STABLE AS $$
-- What the agent may claim, most urgent first: tasks that name it, and tasks that name only capabilities it has.
-- Both halves read tasks_claimable in its order, so that the first rows come without reading the rest.
    SELECT q.id FROM (
        (SELECT t.id, t.priority, t.created FROM tasks t
          WHERE t.agent_name = wanted_agent
            AND t.status = 'pending' AND t.waiting_for = 0 AND t.not_before IS NULL
          ORDER BY t.priority DESC, t.created)
        UNION ALL
        (SELECT t.id, t.priority, t.created FROM tasks t
          WHERE t.agent_name IS NULL AND t.capabilities <@ can
            AND t.status = 'pending' AND t.waiting_for = 0 AND t.not_before IS NULL
          ORDER BY t.priority DESC, t.created)
    ) AS q ORDER BY q.priority DESC, q.created OFFSET 0
$$;

CREATE OR REPLACE FUNCTION fair_queue(wanted_agent text, can jsonb) RETURNS TABLE (id text) LANGUAGE sql STABLE AS $$
-- The first of the queue, those first whose session has fewer tasks held: one long session does not starve the others.
    WITH front AS MATERIALIZED (SELECT q.id FROM queue_of(wanted_agent, can) AS q LIMIT 500)
    SELECT t.id FROM front f JOIN tasks t ON t.id = f.id
     ORDER BY (SELECT count(*) FROM tasks h
                WHERE h.session_id = t.session_id AND h.status IN ('claimed', 'running')),
              t.priority DESC, t.created OFFSET 0
$$;

CREATE FUNCTION is_free(task_id text) RETURNS boolean LANGUAGE sql AS $$
-- Whether no other claim is about to take the task: a try-lock, kept to the end of the transaction, which costs no write
-- and no wait.
    SELECT pg_try_advisory_xact_lock(4827031, hashtext(task_id))
$$;

CREATE OR REPLACE FUNCTION claim_task(agent_name text, control_agent text, lease_seconds integer DEFAULT 300,
                                      max_tasks integer DEFAULT 1, fair boolean DEFAULT false)
RETURNS TABLE (task_id text, session_id text, task_type text, title text, priority integer, input_data jsonb,
               claim_token uuid, lease_until timestamptz, attempt integer, session_title text, quote text)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_sort = off SET enable_seqscan = off AS $$
-- Gives the most urgent tasks to one agent, at most max_tasks and never past agents.max_concurrent. No row when
-- there is nothing to do; it never waits. `fair` puts tasks of sessions first of which fewer are held.
--
-- Many claims at once would all fight for the first rows of the queue. Here each asks is_free() and steps over what is
-- not. FOR UPDATE then looks at the row as it is now: one that was taken and committed in between is passed over, and so
-- is one that somebody is moving right now.
#variable_conflict use_column
DECLARE
    moment    timestamptz := clock_timestamp();  -- a variable, since an index cannot be searched by a volatile function
    lease_end timestamptz := moment + check_lease(lease_seconds);
    seed      text := concat(random(), random(), moment);  -- for tokens; gen_random_uuid() opens /dev/urandom each time
    agent     record;
    wanted    integer := max_tasks;
    slots     integer[];
    ids       text[] := '{}';
    candidate text;
BEGIN
    IF max_tasks IS NULL OR max_tasks NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'max_tasks is 1 to 1000, not %.', max_tasks USING ERRCODE = 'AW006';
    ELSIF control_agent IS NULL OR control_agent = '' THEN
        RAISE EXCEPTION 'control_agent names who claims; it is empty.' USING ERRCODE = 'AW006';
    END IF;
    SELECT a.max_concurrent AS places, a.capabilities AS can,
           EXISTS (SELECT FROM tasks t WHERE t.status IN ('claimed', 'running') AND t.lease_until <= moment)
           OR EXISTS (SELECT FROM tasks t WHERE t.status = 'pending' AND t.not_before <= moment) AS overdue,
           EXISTS (SELECT FROM tasks t WHERE t.agent_name IS NULL
                      AND t.status = 'pending' AND t.waiting_for = 0 AND t.not_before IS NULL) AS shares_a_queue
      INTO agent FROM agents a WHERE a.name = claim_task.agent_name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'There is no agent %.', claim_task.agent_name USING ERRCODE = 'AW004';
    END IF;
    IF agent.overdue THEN
        PERFORM expire_claims();
    END IF;
    IF agent.places IS NOT NULL THEN
        slots := free_slots(claim_task.agent_name, agent.places, wanted);
        wanted := cardinality(slots);
        IF wanted = 0 THEN
            RAISE EXCEPTION 'Agent % already holds as many tasks as it may.', claim_task.agent_name
                USING ERRCODE = 'AW003';
        END IF;
    END IF;
    IF fair OR agent.shares_a_queue OR agent.overdue THEN  -- what was overdue may be for a capability
        FOR candidate IN SELECT q.id FROM queue_of(claim_task.agent_name, agent.can) AS q WHERE NOT fair
                          UNION ALL SELECT q.id FROM fair_queue(claim_task.agent_name, agent.can) AS q WHERE fair LOOP
            PERFORM FROM tasks t WHERE t.id = candidate AND t.status = 'pending' AND is_free(t.id)
                FOR UPDATE SKIP LOCKED;
            IF FOUND THEN
                ids := ids || candidate;
                EXIT WHEN cardinality(ids) = wanted;
            END IF;
        END LOOP;
    ELSE
        ids := ARRAY(SELECT t.id FROM tasks t
                      WHERE t.agent_name = claim_task.agent_name
                        AND t.status = 'pending' AND t.waiting_for = 0 AND t.not_before IS NULL AND is_free(t.id)
                      ORDER BY t.priority DESC, t.created LIMIT wanted FOR UPDATE SKIP LOCKED);
    END IF;
    FOREACH task_id IN ARRAY ids LOOP
        claim_token := md5(seed || task_id)::uuid;
        UPDATE tasks t SET status = 'claimed', agent_name = claim_task.agent_name, claimed_by = control_agent,
               claimed_at = moment, updated = moment, lease_until = lease_end, claim_token = claim_task.claim_token,
               last_token = claim_task.claim_token, slot = slots[array_position(ids, t.id)],
               progress = NULL, progress_note = NULL, progressed_at = NULL
         WHERE t.id = task_id
        RETURNING t.session_id, t.task_type, t.title, t.priority, t.input_data, t.lease_until, t.attempts + 1,
                  (SELECT s.title FROM sessions s WHERE s.id = t.session_id),
                  (SELECT m.quote FROM memories m WHERE m.id = t.memory)
          INTO session_id, task_type, title, priority, input_data, lease_until, attempt, session_title, quote;
        INSERT INTO task_events (task_id, actor, from_status, to_status, attempts)
        VALUES (claim_task.task_id, control_agent, 'pending', 'claimed', attempt - 1);
        RETURN NEXT;
    END LOOP;
END $$;
