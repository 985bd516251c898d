"""procrastinate: its own schema, and `fetch_job` and `finish_job` as its worker calls them (its sql/queries.sql)."""

from importlib.resources import files

from bench import Rival


def procrastinate() -> Rival:
    """Raises ImportError when the package is not installed."""
    schema = files("procrastinate.sql").joinpath("schema.sql").read_text("utf-8")
    return Rival(
        name="procrastinate",
        schema=schema + "\nINSERT INTO procrastinate_workers DEFAULT VALUES;",
        fill="""
            ALTER TABLE procrastinate_jobs DISABLE TRIGGER USER;
            DELETE FROM procrastinate_events;
            DELETE FROM procrastinate_jobs;
            INSERT INTO procrastinate_jobs (queue_name, task_name)
            SELECT 'bench', 'bench' FROM generate_series(1, %(pending)s);
            ALTER TABLE procrastinate_jobs ENABLE TRIGGER USER
        """,
        tables="procrastinate_jobs, procrastinate_events",
        script="""
            SELECT id, status, task_name, priority, args, queue_name, attempts
              FROM procrastinate_fetch_job_v2('{bench}'::varchar[], 1) \\gset j_
            SELECT procrastinate_finish_job_v1(:j_id, 'succeeded', false);
        """,
    )
