-- Where somebody spoke is found by one look through the turns, not by one for each session.

CREATE OR REPLACE FUNCTION sessions_of_person(person text) RETURNS SETOF text LANGUAGE sql STABLE AS $$
-- Where they spoke or took part, or a memory is put down to them, in the order in which sessions are locked.
    WITH known AS MATERIALIZED (SELECT array_agg(n) AS names FROM names_of_person(person) AS n), found AS (
        SELECT t.session_id FROM known k JOIN turns t ON lower(t.speaker) = ANY (k.names)
         UNION
        SELECT m.session_id FROM known k JOIN memories m ON lower(m.speaker) = ANY (k.names)
         UNION
        SELECT s.id FROM known k, sessions s, jsonb_array_elements(s.participants) AS p (one)
         WHERE lower(p.one #>> '{}') = ANY (k.names) OR lower(p.one ->> 'name') = ANY (k.names)
    )
    SELECT f.session_id FROM found f ORDER BY f.session_id
$$;
