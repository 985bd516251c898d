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
