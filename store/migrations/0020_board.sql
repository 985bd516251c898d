-- What the console's board and its page of agents look for: the latest of each state, and what each agent ended of late.
-- They are partial, so that a claim, a start and a renewal write nothing into them.

CREATE INDEX tasks_pending ON tasks (created DESC, id DESC) WHERE status = 'pending';
CREATE INDEX tasks_completed ON tasks (completed DESC, id DESC) WHERE status = 'completed';
CREATE INDEX tasks_cancelled ON tasks (completed DESC, id DESC) WHERE status = 'cancelled';
CREATE INDEX tasks_ended_by_agent ON tasks (agent_name, completed DESC) INCLUDE (status) WHERE completed IS NOT NULL;
-- Of the two states that wait for people either may be few among many of the other.
CREATE INDEX tasks_proposed ON tasks (created DESC, id DESC) WHERE status = 'proposed';
CREATE INDEX tasks_needing_input ON tasks (created DESC, id DESC) WHERE status = 'needs_input';
