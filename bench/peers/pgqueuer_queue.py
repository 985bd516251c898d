"""pgqueuer: its own schema, and what its query builder composes for its worker: dequeue, and log as done.

One job at a time, as the others are driven; its worker takes ten together unless told otherwise.
"""

import uuid
from datetime import timedelta

from bench.peers import Rival


def pgqueuer() -> Rival:
    """Raises ImportError when the package is not installed."""
    from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment, QueryQueueBuilder

    build = QueryQueueBuilder()
    dequeue = build.build_dequeue_query(
        batch_size=1,
        entrypoints=["bench"],
        concurrency_limits=[0],
        queue_manager_id=uuid.uuid4(),
        global_concurrency_limit=None,
        heartbeat_timeout=timedelta(seconds=30),
    )
    fetch = dequeue.sql
    for place, value in enumerate(("1", "'{bench}'", f"'{uuid.uuid4()}'", "'30 s'"), start=1):
        fetch = fetch.replace(f"${place}", value)
    done = build.build_log_job_query()
    for place, value in enumerate(("ARRAY[:j_id]", "'{successful}'", "'{NULL}'"), start=1):
        done = done.replace(f"${place}", value)
    return Rival(
        name="pgqueuer",
        schema=QueryBuilderEnvironment().build_install_query(),
        fill="""
            ALTER TABLE pgqueuer DISABLE TRIGGER USER;
            TRUNCATE pgqueuer, pgqueuer_log;
            INSERT INTO pgqueuer (priority, entrypoint, status, execute_after)
            SELECT 0, 'bench', 'queued', now() - interval '1 s' FROM generate_series(1, %(pending)s);
            ALTER TABLE pgqueuer ENABLE TRIGGER USER
        """,
        tables="pgqueuer, pgqueuer_log",
        script=f"{fetch.strip().removesuffix(';')} \\gset j_\n{done.strip()};\n",
    )
