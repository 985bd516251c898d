"""procrastinate: its own schema, and `fetch_job` and `finish_job` of its sql/queries.sql, as its worker calls them.

Its triggers write an event for each of both moves, as they do for a worker.
"""

from bench.peers import Rival


def procrastinate() -> Rival:
    """Raises ImportError when the package is not installed."""
    from procrastinate.schema import SchemaManager
    from procrastinate.sql import queries

    # A worker that is not told its queues takes jobs of all of them, and keeps what succeeded.
    fetch = queries["fetch_job"] % {"queues": "NULL", "worker_id": "1"}
    finish = queries["finish_job"] % {"job_id": ":j_id", "status": "'succeeded'", "delete_job": "false"}
    return Rival(
        name="procrastinate",
        schema=SchemaManager.get_schema() + "\nINSERT INTO procrastinate_workers DEFAULT VALUES;",
        fill="""
            ALTER TABLE procrastinate_jobs DISABLE TRIGGER USER;
            TRUNCATE procrastinate_jobs, procrastinate_events, procrastinate_periodic_defers;
            INSERT INTO procrastinate_jobs (queue_name, task_name)
            SELECT 'bench', 'bench' FROM generate_series(1, %(pending)s);
            ALTER TABLE procrastinate_jobs ENABLE TRIGGER USER
        """,
        tables="procrastinate_jobs, procrastinate_events",
        script=f"{fetch.strip().removesuffix(';')} \\gset j_\n{finish}\n",
    )
