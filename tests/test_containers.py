"""The oldest PostgreSQL that we support, from its official image, where a Docker engine can run one."""

from collections.abc import Iterator

import docker
import pytest
from docker.errors import DockerException

from store import tasks
from store.database import connect
from store.migrate import migrate

TASK = """
INSERT INTO tasks (id, agent_name, task_type, title, status)
VALUES ('task_1', 'claude_code', 'write', 'Write the schema', 'pending')"""


@pytest.fixture(scope="module")
def postgres_15() -> Iterator[str]:
    try:
        docker.from_env().ping()
    except DockerException as error:
        pytest.skip(f"there is no Docker engine here ({type(error).__name__})")
    from testcontainers.community.postgres import PostgresContainer

    with PostgresContainer("postgres:15", driver=None) as container:
        yield container.get_connection_url()


def test_the_oldest_postgresql_takes_the_migrations_and_hands_a_task_to_one_agent(postgres_15: str) -> None:
    assert migrate(postgres_15) != []
    assert migrate(postgres_15) == []
    with connect(postgres_15, "test") as conn:
        conn.execute(TASK)
        claimed = tasks.claim(conn, "claude_code", "control_agent_1")
        assert [claim["task_id"] for claim in claimed] == ["task_1"]
        assert tasks.claim(conn, "claude_code", "control_agent_2") == []
