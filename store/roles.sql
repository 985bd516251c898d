-- name: may_make_roles
-- Whether whoever is connected may; and whether there is nothing left to make.
SELECT (r.rolsuper OR r.rolcreaterole) AS may,
       NOT EXISTS (SELECT FROM unnest(ARRAY['app', 'reader']) AS kind
                    WHERE NOT EXISTS (SELECT FROM pg_roles o WHERE o.rolname = role_of(kind))) AS complete,
       role_of('app')::text AS app, role_of('reader')::text AS reader, r.rolname::text AS name
  FROM pg_roles r WHERE r.rolname = current_user

-- name: make_roles
SELECT make_roles() AS made

-- name: grant_roles
SELECT grant_roles()

-- name: role_of
SELECT role_of(%(kind)s)::text AS name

-- name: make_login
SELECT make_login(%(kind)s, %(name)s, %(password)s)
