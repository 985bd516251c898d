"""Roles of the database: one that does what web and workers need, one that reads, and neither can do anything else.

The owner, who migrates, makes them and grants them what each version needs; migrations/*_roles.sql says what.
"""

import secrets
from dataclasses import dataclass
from typing import Literal

from domain.errors import SettingsError
from store import audit
from store.database import Connection, one_row
from store.migrate import locked
from store.statements import statements

SQL = statements("roles")

Kind = Literal["app", "reader"]


@dataclass(frozen=True, slots=True)
class Roles:
    """The roles of a database, those `made` just now, and in `lacking` a sentence when they are not there, and why."""

    app: str
    reader: str
    made: tuple[str, ...]
    lacking: str | None = None


def make_roles(conninfo: str) -> Roles:
    """Makes the roles that are missing, without a login, and grants both what this version needs. A user who may not
    make roles makes none, and the service goes on as whoever it is."""
    with locked(conninfo) as conn:
        found = one_row(conn, SQL["may_make_roles"])
        assert found is not None, "whoever is connected has a role"
        names = {"app": found["app"], "reader": found["reader"]}
        if not (found["may"] or found["complete"]):
            lacking = (
                f"{found['name']} may not make roles, so there are none and everything goes on as it is. Let somebody "
                f'who may run CREATE ROLE "{found["app"]}"; CREATE ROLE "{found["reader"]}"; and migrate again.'
            )
            return Roles(**names, made=(), lacking=lacking)
        made = one_row(conn, SQL["make_roles"])
        return Roles(**names, made=tuple(made["made"] if made else ()))


def make_login(conninfo: str, kind: Kind, name: str | None = None) -> dict[str, str]:
    """Lets somebody sign in as app or reader, under a name of their own if one is given, with a new password; returns
    {name, host, port, database, password}. Raises InvalidRequest for a role that may do more, and SettingsError for a
    user who may not make roles."""
    password = secrets.token_urlsafe(24)
    with locked(conninfo) as conn:
        found = one_row(conn, SQL["may_make_roles"])
        assert found is not None, "whoever is connected has a role"
        if not found["may"]:
            raise SettingsError(
                f"{found['name']} may not make roles.",
                hint="Set AI_WEBHOOK_MIGRATE_URL to a user who may (CREATEROLE), or let an administrator do it: "
                "docs/database.md says how.",
            )
        name = name or str(found[kind])
        with conn.transaction():
            one_row(conn, SQL["make_login"], {"kind": kind, "name": name, "password": password})
            if audit.is_kept(conn):
                audit.add(conn, audit.Entry("operator", audit.COMMAND, f"make_{kind}", "role", name))
        return {"name": name, **place(conn), "password": password}


def place(conn: Connection) -> dict[str, str]:
    at = conn.info
    return {"host": at.host, "port": str(at.port), "database": at.dbname}
