-- Tasks that are claimed together are written together: what PostgreSQL makes ready to write a task (its indexes, triggers
-- and rules) costs more than the writing. And one index less, which was the same as tasks_needing_input.

DROP INDEX tasks_asking;

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
    IF ids = '{}' THEN
        RETURN;  -- who polls finds nothing most of the time, and writing nothing costs a sixth more
    END IF;
    RETURN QUERY WITH taken AS (
        UPDATE tasks t SET status = 'claimed', agent_name = claim_task.agent_name, claimed_by = control_agent,
               claimed_at = moment, updated = moment, lease_until = lease_end, claim_token = md5(seed || t.id)::uuid,
               last_token = md5(seed || t.id)::uuid, slot = slots[array_position(ids, t.id)],
               progress = NULL, progress_note = NULL, progressed_at = NULL
         WHERE t.id = ANY (ids)
        RETURNING t.id, t.session_id, t.task_type, t.title, t.priority, t.input_data, t.claim_token, t.lease_until,
                  t.attempts + 1 AS attempt, (SELECT s.title FROM sessions s WHERE s.id = t.session_id) AS session_title,
                  (SELECT m.quote FROM memories m WHERE m.id = t.memory) AS quote
    ), told AS (
        INSERT INTO task_events (task_id, actor, from_status, to_status, attempts)
        SELECT id, control_agent, 'pending', 'claimed', attempt - 1 FROM taken
    )
    SELECT * FROM taken ORDER BY array_position(ids, id);
END $$;
