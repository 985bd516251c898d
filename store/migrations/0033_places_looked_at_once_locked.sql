-- A place is looked at by a statement of its own, after its lock: one that does both sees the tasks as they were before it.

CREATE OR REPLACE FUNCTION free_slots(wanted_agent text, places integer, most integer) RETURNS integer[] LANGUAGE plpgsql AS $$
-- Places of the agent that nobody holds and no other claim is taking right now, at most `most`. A place is locked
-- by an advisory lock until the transaction ends, and only then looked at, in a statement that begins after it: a claim
-- that has just committed is seen. tasks_slots, a unique index, is the last word.
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
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtext(wanted_agent), place);
        CONTINUE WHEN EXISTS (SELECT FROM tasks t WHERE t.agent_name = wanted_agent AND t.slot = place);
        found := found || place;
        EXIT WHEN cardinality(found) = most;
    END LOOP;
    RETURN found;
END $$;
