"""The claim of the public schema for voice webhooks, in its common form: lock the first row, update it, and keep the
session's activity by a trigger on every row. Its tables lie in a schema of their own, beside ours."""

from bench.peers import Rival

PUBLIC_SCHEMA = Rival(
    name="the public schema",
    schema="""
        CREATE SCHEMA public_form;
        CREATE TABLE public_form.sessions (id text PRIMARY KEY, last_activity timestamptz NOT NULL DEFAULT now(),
                                           task_count integer NOT NULL DEFAULT 0);
        CREATE TABLE public_form.tasks (
            id text PRIMARY KEY, session_id text REFERENCES public_form.sessions, agent_name text NOT NULL,
            status text NOT NULL DEFAULT 'pending', priority integer NOT NULL DEFAULT 5,
            input_data jsonb NOT NULL DEFAULT '{}', claimed_by text, claimed_at timestamptz, completed_at timestamptz,
            output_data jsonb, created_at timestamptz NOT NULL DEFAULT now()
        );
        CREATE INDEX ON public_form.tasks (status);
        CREATE INDEX ON public_form.tasks (agent_name, status, priority DESC, created_at);
        CREATE INDEX ON public_form.tasks (session_id);
        CREATE FUNCTION public_form.touch() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            UPDATE public_form.sessions SET last_activity = now() WHERE id = NEW.session_id;
            RETURN NEW;
        END $$;
        CREATE FUNCTION public_form.claim_task(wanted_agent text, control text)
        RETURNS TABLE (task_id text, input jsonb) LANGUAGE plpgsql AS $$
        DECLARE
            chosen text;
        BEGIN
            SELECT t.id INTO chosen FROM public_form.tasks t
             WHERE t.agent_name = wanted_agent AND t.status = 'pending'
             ORDER BY t.priority DESC, t.created_at LIMIT 1 FOR UPDATE SKIP LOCKED;
            IF chosen IS NULL THEN
                RETURN;
            END IF;
            RETURN QUERY UPDATE public_form.tasks t SET status = 'claimed', claimed_by = control, claimed_at = now()
                          WHERE t.id = chosen RETURNING t.id, t.input_data;
        END $$;
        INSERT INTO public_form.sessions VALUES ('bench')
    """,
    fill="""
        DROP TRIGGER IF EXISTS touch ON public_form.tasks;
        TRUNCATE public_form.tasks;
        INSERT INTO public_form.tasks (id, session_id, agent_name)
        SELECT 'bench-' || n, 'bench', 'bench' FROM generate_series(1, %(pending)s) AS n;
        CREATE TRIGGER touch AFTER INSERT OR UPDATE ON public_form.tasks
            FOR EACH ROW EXECUTE FUNCTION public_form.touch()
    """,
    tables="public_form.tasks, public_form.sessions",
    script="""
        SELECT task_id FROM public_form.claim_task('bench', 'bench') \\gset c_
        UPDATE public_form.tasks SET status = 'completed', completed_at = now(),
               output_data = '{}' WHERE id = :c_task_id;
    """,
)
