-- A statement that claims is told more of the tasks it was given, also of those that came after it began.

CREATE FUNCTION told_with_claim(task_id text) RETURNS TABLE (doubt text, command jsonb) LANGUAGE sql VOLATILE AS $$
-- Volatile, so that it reads what is there now. What joins claim_task() to tasks reads them as they were when the
-- statement began, and would keep a task that was added after that from who has just claimed it.
    SELECT t.doubt, t.command FROM tasks t WHERE t.id = task_id
$$;
