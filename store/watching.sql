-- name: limit_time
SET LOCAL statement_timeout = '2s'

-- name: tasks_by_state
-- Those that are not ended, and the failed ones; up to `most` of each, past which nobody counts.
-- Each by name, since its index is for that name alone.
SELECT 'proposed' AS status, count(*) AS n FROM (SELECT FROM tasks WHERE status = 'proposed' LIMIT %(most)s) AS t
UNION ALL
SELECT 'pending' AS status, count(*) AS n FROM (SELECT FROM tasks WHERE status = 'pending' LIMIT %(most)s) AS t
UNION ALL
SELECT 'claimed' AS status, count(*) AS n FROM (SELECT FROM tasks WHERE status = 'claimed' LIMIT %(most)s) AS t
UNION ALL
SELECT 'running' AS status, count(*) AS n FROM (SELECT FROM tasks WHERE status = 'running' LIMIT %(most)s) AS t
UNION ALL
SELECT 'needs_input' AS status, count(*) AS n FROM (SELECT FROM tasks WHERE status = 'needs_input' LIMIT %(most)s) AS t
UNION ALL
SELECT 'failed' AS status, count(*) AS n FROM (SELECT FROM tasks WHERE status = 'failed' LIMIT %(most)s) AS t

-- name: figures
SELECT (SELECT count(*) FROM (SELECT FROM tasks WHERE status = 'completed' AND completed >= now() - interval '1 hour'
                               LIMIT %(most)s) AS t) AS tasks_completed_last_hour,
       (SELECT COALESCE(GREATEST(date_part('epoch', now() - min(created)), 0), 0)
          FROM (SELECT created FROM tasks WHERE status = 'pending' AND waiting_for = 0 AND not_before IS NULL
                 LIMIT %(most)s) AS t) AS task_oldest_claimable_seconds,
       (SELECT count(*) FROM (SELECT FROM tasks WHERE status IN ('claimed', 'running') AND lease_until < now()
                               LIMIT %(most)s) AS t) AS leases_overdue,
       (SELECT count(*) FROM (SELECT at, reason, actor FROM task_events ORDER BY xact DESC, id DESC LIMIT 10000) AS e
         WHERE e.actor = 'lease' AND e.reason = 'the lease lapsed' AND e.at >= now() - interval '5 minutes')
           AS leases_lapsed_last_5_minutes,
       (SELECT count(*) FROM (SELECT FROM deliveries WHERE state = 'received' LIMIT %(most)s) AS d)
           AS deliveries_unfinished,
       (SELECT count(*) FROM (SELECT FROM deliveries WHERE state = 'failed' LIMIT %(most)s) AS d) AS deliveries_failed,
       (SELECT COALESCE(GREATEST(date_part('epoch', now() - min(received_at)), 0), 0)
          FROM (SELECT received_at FROM deliveries WHERE state = 'received' LIMIT %(most)s) AS d)
           AS delivery_oldest_unfinished_seconds,
       (SELECT count(*) FROM outgoing WHERE state = 'failed') AS outgoing_failed,
       (SELECT count(*) FROM agents WHERE status = 'offline') AS agents_offline

-- name: server
SELECT current_setting('server_version') AS version, current_setting('server_version_num')::integer / 10000 AS major,
       date_part('epoch', clock_timestamp()) AS seconds

-- name: stale_agents
-- Agents that hold tasks and have not been heard of for a while.
SELECT name FROM agents a
 WHERE last_heartbeat < now() - interval '15 minutes'
   AND EXISTS (SELECT FROM tasks t WHERE t.agent_name = a.name AND t.status IN ('claimed', 'running'))
 ORDER BY name

-- name: late_deliveries
SELECT count(*) AS n FROM (SELECT FROM deliveries WHERE state = 'received'
                              AND received_at < now() - make_interval(secs => %(seconds)s) LIMIT %(most)s) AS late
