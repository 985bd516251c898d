-- name: listing
SELECT a.name, a.type, a.command, a.max_concurrent, a.capabilities, a.status, a.last_heartbeat, a.metadata,
       a.current_tasks AS held,
       (SELECT count(*)::integer FROM tasks t WHERE t.agent_name = a.name AND t.status = 'pending') AS waiting
  FROM agent_overview a ORDER BY a.name

-- name: get
SELECT a.name, a.type, a.command, a.max_concurrent, a.capabilities, a.status, a.last_heartbeat, a.metadata,
       a.current_tasks AS held,
       (SELECT count(*)::integer FROM tasks t WHERE t.agent_name = a.name AND t.status = 'pending') AS waiting
  FROM agent_overview a WHERE a.name = %(name)s

-- name: register
SELECT * FROM register_agent(%(name)s, %(type)s, %(command)s, %(max_concurrent)s::integer, %(capabilities)s, %(metadata)s)

-- name: heartbeat
SELECT * FROM heartbeat_agent(%(name)s)

-- name: deregister
SELECT deregister_agent(%(name)s) AS returned

-- name: refresh
SELECT refresh_agents()

-- name: working
-- Agents by name after one of them, each with what it holds and what it could claim now, up to one more than `most`.
SELECT a.name, a.type, a.max_concurrent, a.capabilities, a.status, a.last_heartbeat, a.current_tasks AS held,
       (SELECT count(*)::integer FROM (SELECT FROM tasks t WHERE t.agent_name = a.name AND t.status = 'pending'
           AND t.waiting_for = 0 AND t.not_before IS NULL LIMIT %(most)s + 1) AS w) AS waiting
  FROM agent_overview a
 WHERE %(after)s::text IS NULL OR a.name > %(after)s ORDER BY a.name LIMIT %(limit)s

-- name: ended
-- What each agent ended in each span between two of these instants: completed and failed, each span up to `most` in all.
-- What people cancelled says nothing about an agent.
SELECT n.name, s.number::integer AS number, e.completed, e.failed
  FROM unnest(%(names)s::text[]) AS n (name)
 CROSS JOIN unnest(%(starts)s::timestamptz[], %(ends)s::timestamptz[]) WITH ORDINALITY AS s (first, last, number)
 CROSS JOIN LATERAL (
       SELECT (count(*) FILTER (WHERE t.status = 'completed'))::integer AS completed,
              (count(*) FILTER (WHERE t.status = 'failed'))::integer AS failed
         FROM (SELECT status FROM tasks WHERE agent_name = n.name AND completed >= s.first AND completed < s.last
                LIMIT %(most)s) AS t) AS e
 WHERE e.completed + e.failed > 0 ORDER BY n.name, s.number

-- name: durations
-- The median time from claim to completion of what each agent completed among the latest that it ended since then, `most`
-- of them. They are found by agent: the index of what is completed has those of all agents.
SELECT n.name, d.tasks, d.median
  FROM unnest(%(names)s::text[]) AS n (name)
 CROSS JOIN LATERAL (
       SELECT count(*)::integer AS tasks,
              percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM t.completed - t.claimed_at)::float8) AS median
         FROM (SELECT status, completed, claimed_at FROM tasks WHERE agent_name = n.name AND completed >= %(since)s
                ORDER BY completed DESC LIMIT %(most)s) AS t
        WHERE t.status = 'completed' AND t.claimed_at IS NOT NULL) AS d
 WHERE d.tasks > 0

-- name: holding
-- What these agents hold now, what was claimed or renewed last first.
SELECT id, session_id, agent_name, left(title, 1000) AS title, status, claimed_by, claimed_at, lease_until, progress,
       left(progress_note, 1000) AS progress_note
  FROM tasks WHERE status IN ('claimed', 'running') AND agent_name = ANY (%(names)s)
 ORDER BY lease_until DESC, id LIMIT %(limit)s
