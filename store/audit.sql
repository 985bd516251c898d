-- name: add
INSERT INTO audit_log (actor, via, action, kind, object, outcome, times)
SELECT e.actor, e.via, e.action, e.kind, e.object, e.outcome, e.times
  FROM jsonb_to_recordset(%(entries)s) AS e (
           actor text, via text, action text, kind text, object text, outcome text, times integer)

-- name: is_kept
-- Before an upgrade there is no such table yet.
SELECT to_regclass('public.audit_log') IS NOT NULL AS is_kept

-- name: listing
-- Latest first; `before` is the id of the last row of the page before.
SELECT * FROM audit_log
 WHERE (%(since)s::timestamptz IS NULL OR at >= %(since)s) AND (%(actor)s::text IS NULL OR actor = %(actor)s)
   AND (%(action)s::text IS NULL OR action = %(action)s) AND (%(object)s::text IS NULL OR object = %(object)s)
   AND (%(before)s::bigint IS NULL OR id < %(before)s)
 ORDER BY id DESC LIMIT %(limit)s

-- name: outlive
SELECT forget_audit_log(%(days)s) AS n
