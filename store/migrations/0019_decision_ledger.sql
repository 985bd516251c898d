-- The ledger of decisions: the latest first, and the tasks that hang on one that stands no more.

CREATE INDEX memories_decided ON memories (said_at DESC, id DESC) WHERE type = 'decision' AND merged_into IS NULL;
CREATE INDEX memories_decided_again ON memories (merged_into, said_at)
    WHERE type = 'decision' AND merged_into IS NOT NULL;
CREATE INDEX tasks_doubted ON tasks (created DESC, id DESC)
    WHERE doubt IS NOT NULL AND status NOT IN ('completed', 'failed', 'cancelled');
