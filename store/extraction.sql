-- name: record_gaps
-- Records the pieces of a delivery that are missing. A piece that is missing again because of a fault of ours waits twice
-- as long each time and is given up after the most attempts; one that waits for a language model waits as it did.
INSERT INTO extraction_gaps AS g (delivery, extractor, piece, turns, error_code, attempts, next_attempt_at)
SELECT %(delivery)s, d.extractor, d.piece, d.turns, d.error_code, (d.error_code IS NOT NULL)::integer,
       clock_timestamp() + make_interval(secs => CASE WHEN d.error_code IS NULL THEN 0 ELSE 5 END)
  FROM jsonb_to_recordset(%(gaps)s) AS d (extractor text, piece text, turns jsonb, error_code text)
ON CONFLICT (delivery, extractor, piece) DO UPDATE
   SET error_code = COALESCE(EXCLUDED.error_code, g.error_code),
       attempts = g.attempts + (EXCLUDED.error_code IS NOT NULL)::integer,
       next_attempt_at = CASE WHEN EXCLUDED.error_code IS NULL THEN g.next_attempt_at
                              WHEN g.attempts + 1 >= %(max_attempts)s THEN 'infinity'
                              ELSE clock_timestamp() + make_interval(secs => LEAST(3600, 5 * 2 ^ LEAST(g.attempts, 12)))
                         END

-- name: close_gaps
-- Forgets what is not missing any more.
DELETE FROM extraction_gaps
 WHERE delivery = %(delivery)s AND extractor || ' ' || piece <> ALL (%(missing)s::text[])

-- name: due
-- Deliveries with a piece whose time has come. Those that are unfinished anyway will tell.
SELECT DISTINCT g.delivery
  FROM extraction_gaps g JOIN deliveries d ON d.id = g.delivery
 WHERE g.next_attempt_at <= clock_timestamp() AND d.state = 'processed' LIMIT %(limit)s

-- name: waiting
-- Pieces of a delivery that a language model shall read now.
SELECT piece, turns FROM extraction_gaps
 WHERE delivery = %(delivery)s AND extractor = 'llm' AND next_attempt_at <= clock_timestamp() ORDER BY piece

-- name: put_off
-- A piece that got no answer. `attempts` counts but where a limit of the day is to blame, which ends at midnight UTC.
UPDATE extraction_gaps
   SET error_code = %(code)s, attempts = attempts + (%(code)s <> 'llm_limit')::integer,
       next_attempt_at = CASE WHEN %(code)s = 'llm_limit'
                              THEN (date_trunc('day', clock_timestamp() AT TIME ZONE 'UTC') + interval '1 day') AT TIME ZONE 'UTC'
                              WHEN attempts + 1 >= %(max_attempts)s THEN 'infinity'
                              ELSE clock_timestamp() + make_interval(secs => LEAST(3600, 10 * 2 ^ LEAST(attempts, 12))) END
 WHERE delivery = %(delivery)s AND extractor = 'llm' AND piece = %(piece)s

-- name: listing
SELECT g.delivery, d.session_id, g.extractor, g.error_code, g.attempts, NULLIF(g.next_attempt_at, 'infinity') AS next_attempt_at,
       g.created
  FROM extraction_gaps g JOIN deliveries d ON d.id = g.delivery
 WHERE (%(delivery)s::text IS NULL OR g.delivery = %(delivery)s) ORDER BY g.created, g.delivery, g.piece LIMIT %(limit)s

-- name: lock_budget
-- Two workers must not both find room for the last tokens of the day. Held until the transaction ends, which is at once.
SELECT pg_advisory_xact_lock(4827031557)

-- name: reserve
-- Takes tokens out of the day's budget before the call; no row when there are not enough left.
INSERT INTO llm_answers AS a (piece, model, tokens_in, tokens_out, cost, delivery)
SELECT %(piece)s, %(model)s, %(tokens_in)s, %(tokens_out)s, %(cost)s, %(delivery)s
  FROM (SELECT COALESCE(sum(tokens_in + tokens_out), 0) AS tokens, COALESCE(sum(cost), 0) AS cost FROM llm_answers
         WHERE asked >= date_trunc('day', clock_timestamp() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC') AS spent
 WHERE (%(daily_tokens)s::bigint IS NULL OR spent.tokens + %(tokens_in)s + %(tokens_out)s <= %(daily_tokens)s)
   AND (%(daily_cost)s::double precision IS NULL OR spent.cost + %(cost)s <= %(daily_cost)s)
ON CONFLICT (piece) DO UPDATE
   SET tokens_in = a.tokens_in + EXCLUDED.tokens_in, tokens_out = a.tokens_out + EXCLUDED.tokens_out,
       cost = a.cost + EXCLUDED.cost, asked = clock_timestamp(), delivery = EXCLUDED.delivery
RETURNING piece

-- name: settle
-- What the call really took, in the place of what was reserved for it, and its answer (none when it failed).
UPDATE llm_answers
   SET tokens_in = GREATEST(0, tokens_in + %(more_in)s), tokens_out = GREATEST(0, tokens_out + %(more_out)s),
       cost = GREATEST(0, cost + %(more_cost)s), items = COALESCE(%(items)s, items)
 WHERE piece = %(piece)s

-- name: answers
SELECT piece, items FROM llm_answers WHERE piece = ANY (%(pieces)s) AND items IS NOT NULL
