-- What was fetched for an announced delivery is as raw as its body, and readers see neither.

CREATE OR REPLACE FUNCTION rights_of_reader(relation oid) RETURNS text LANGUAGE sql STABLE AS $$
-- Not who has which token or login, nor the bodies of deliveries, from which nothing was taken out. NULL for nothing.
    SELECT CASE WHEN c.relname = 'deliveries'
                    THEN (SELECT format('SELECT (%s)', string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum))
                            FROM pg_attribute a
                           WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                             AND a.attname <> ALL ('{body,fetched}'))
                WHEN c.relkind <> 'S'
                     AND c.relname <> ALL ('{tokens,repeatable_requests,people,logins,login_links,failed_logins,llm_answers,forgotten,audit_log}')
                    THEN 'SELECT' END
      FROM pg_class c WHERE c.oid = relation
$$;
