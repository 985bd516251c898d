-- name: listing
SELECT a.name, a.type, a.command, a.max_concurrent, a.capabilities, a.status, a.last_heartbeat, a.metadata,
       count(t.id) FILTER (WHERE t.status IN ('claimed', 'running'))::integer AS held,
       count(t.id) FILTER (WHERE t.status = 'pending')::integer AS waiting
  FROM agents a
       LEFT JOIN tasks t ON t.agent_name = a.name AND t.status IN ('claimed', 'running', 'pending')
 GROUP BY a.name ORDER BY a.name
