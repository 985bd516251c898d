-- name: position
-- How far the log has been written by now: whatever was committed before is before it.
SELECT pg_current_wal_insert_lsn()::text AS position

-- name: has_it
-- Whether a replica has done all that the log holds up to there. One that has been promoted is none any more.
SELECT pg_is_in_recovery() AND COALESCE(pg_last_wal_replay_lsn() >= %(position)s::pg_lsn, false) AS has_it
