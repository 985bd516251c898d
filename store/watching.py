"""What those who watch the service ask the database: figures that cost little however much there is."""

from store.database import Connection, Pool, Row, all_rows, borrowed, one_row, run
from store.statements import statements

SQL = statements("watching")
MOST = 100_000  # past that nobody counts
PATIENCE_SECONDS = 1.0  # for a connection


def figures(pool: Pool) -> tuple[dict[str, int], dict[str, float]]:
    """(tasks by state, other figures by name). Raises DatabaseUnavailable, after about a second."""
    with borrowed(pool, PATIENCE_SECONDS) as conn, conn.transaction():
        run(conn, SQL["limit_time"])
        tasks = {row["status"]: row["n"] for row in all_rows(conn, SQL["tasks_by_state"], {"most": MOST})}
        row = one_row(conn, SQL["figures"], {"most": MOST})
        assert row is not None, "an aggregate has one row"
        return tasks, row


def server(conn: Connection) -> Row:
    """{version, major, seconds: unix time by its clock}."""
    row = one_row(conn, SQL["server"])
    assert row is not None, "a server has a version"
    return row


def stale_agents(conn: Connection) -> list[str]:
    """Agents that hold tasks and have not been heard of for a quarter of an hour."""
    return [row["name"] for row in all_rows(conn, SQL["stale_agents"])]


def late_deliveries(conn: Connection, seconds: float) -> int:
    """How many deliveries came longer ago than that and are not finished."""
    row = one_row(conn, SQL["late_deliveries"], {"seconds": seconds, "most": MOST})
    assert row is not None, "an aggregate has one row"
    return int(row["n"])
