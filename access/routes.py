"""Every route of the API, once: the server serves this table, the client calls by it, the OpenAPI document tells it.

A route is named as the action it calls. What it takes comes from the path, the query and the body, whose models are in
inputs.py; what it answers is in answers.py.
"""

from dataclasses import dataclass
from typing import Any

from access import answers, inputs


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`identity` is the name under which the action takes the `{id}` of the path. One that `creates` takes an
    Idempotency-Key; one that is `versioned` takes If-Match and answers ETag. `media` is for what is no JSON."""

    name: str
    method: str
    path: str
    says: str
    answer: Any
    identity: str | None = None
    query: type[inputs.Input] = inputs.Nothing
    body: type[inputs.Input] | None = None
    creates: bool = False
    versioned: bool = False
    media: str = "application/json"


HOLDER_MOVES: dict[str, tuple[type[inputs.Input], str]] = {
    "start": (inputs.Start, "Say that work has begun."),
    "renew": (inputs.Renew, "Extend the lease; answers `cancelled` when the task was."),
    "complete": (inputs.Complete, "Finish with output and artifacts."),
    "fail": (inputs.Fail, "Give up this try, or for good."),
    "release": (inputs.Held, "Put it back; no try is spent."),
    "ask": (inputs.Ask, "Park it with a question to a person."),
}
PERSON_MOVES: dict[str, tuple[type[inputs.Input], str]] = {
    "answer": (inputs.Answer, "Answer its question; it is pending again."),
    "approve": (inputs.Verdict, "Let a proposed task be done."),
    "cancel": (inputs.Reason, "Stop it, whoever holds it."),
    "retry": (inputs.Verdict, "Give a task that failed or was cancelled all its tries again."),
    "restore": (inputs.Person, "Take an approval, an answer or a cancellation back."),
    "finish": (inputs.Finish, "Say that a task that nobody holds is done."),
}
VERBS: dict[str, tuple[type[inputs.Input], str]] = {
    "accept": (inputs.Verdict, "Say that it is right."),
    "reject": (inputs.Reason, "Say that it is wrong; its task is cancelled."),
    "restore": (inputs.Verdict, "Take back what was said of it last."),
    "merge": (inputs.Merge, "Say that it says the same as another, which stands for both."),
    "split": (inputs.Person, "Take a merge back."),
    "supersede": (inputs.Supersede, "Say which memory took its place."),
    "reinstate": (inputs.Person, "Take that back."),
}

# Ids of sessions, tasks and artifacts are the senders' own and may hold a slash, so the longer paths come first.
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("list_sessions", "GET", "/sessions", "Sessions, latest activity first.", answers.Page[answers.Session],
             query=inputs.Sessions),
    Endpoint("create_session", "POST", "/sessions", "Make a session.", answers.SessionTold, body=inputs.NewSession,
             creates=True),
    Endpoint("list_turns", "GET", "/sessions/{id:path}/turns", "What was said, in order.", answers.Page[answers.Turn],
             "session_id", query=inputs.Turns),
    Endpoint("list_chunks", "GET", "/sessions/{id:path}/chunks", "The chunks of a session.",
             answers.Page[answers.Chunk], "session_id"),
    Endpoint("get_session", "GET", "/sessions/{id:path}", "A session with its turns, memories and tasks.",
             answers.SessionTold, "session_id", versioned=True),
    Endpoint("update_session", "PATCH", "/sessions/{id:path}", "Change title, status or context.", answers.SessionTold,
             "session_id", body=inputs.SessionChange, versioned=True),
    Endpoint("forget_session", "DELETE", "/sessions/{id:path}",
             "Forget it with everything that came of it; later deliveries for it are dropped.", answers.Forgotten,
             "session_id", query=inputs.Forgetting),
    Endpoint("forget_person", "POST", "/forget/person",
             "Forget what somebody said, in twenty sessions; `next` is the `after` of the next request.",
             answers.Forgotten, body=inputs.ForgettingPerson),
    Endpoint("forget_source", "POST", "/forget/source",
             "Forget what a source told, twenty sessions; `next` is the `after` of the next request.",
             answers.Forgotten, body=inputs.ForgettingSource),
    Endpoint("list_memories", "GET", "/memories", "Memories, newest first; what was said again is there once.",
             answers.Page[answers.Memory], query=inputs.Memories),
    Endpoint("store_memory", "POST", "/memories", "Store a memory in a session.", answers.MemoryTold,
             body=inputs.NewMemory, creates=True),
    Endpoint("related_to_memory", "GET", "/memories/{id}/related", "What else was said about it.",
             answers.Page[answers.Hit], "memory", query=inputs.Related),
    Endpoint("get_memory", "GET", "/memories/{id}", "A memory with every time that it was said.", answers.MemoryTold,
             "memory", versioned=True),
    Endpoint("edit_memory", "PATCH", "/memories/{id}", "Say anew what it says.", answers.MemoryTold, "memory",
             body=inputs.MemoryChange, versioned=True),
    *(Endpoint(f"{verb}_memory", "POST", f"/memories/{{id}}/{verb}", says, answers.MemoryTold, "memory", body=body)
      for verb, (body, says) in VERBS.items()),
    Endpoint("list_tasks", "GET", "/tasks", "Tasks, newest first.", answers.Page[answers.TaskListed],
             query=inputs.Tasks),
    Endpoint("create_task", "POST", "/tasks", "Make a task.", answers.TaskTold, body=inputs.NewTask, creates=True),
    Endpoint("claim_task", "POST", "/tasks/claim", "Take the most urgent tasks of an agent.",
             answers.Page[answers.Claimed], body=inputs.Claim),
    *(Endpoint(f"{move}_task", "POST", f"/tasks/{{id:path}}/{move}", says, answers.Task, "task_id", body=body)
      for move, (body, says) in (HOLDER_MOVES | PERSON_MOVES).items()),
    Endpoint("export_task", "POST", "/tasks/{id:path}/export", "Make it an issue elsewhere, and follow it there.",
             answers.Export, "task_id", body=inputs.Export),
    Endpoint("related_to_task", "GET", "/tasks/{id:path}/related", "What else was said about it.",
             answers.Page[answers.Hit], "task_id", query=inputs.Related),
    Endpoint("get_task", "GET", "/tasks/{id:path}", "A task with its history.", answers.TaskTold, "task_id",
             versioned=True),
    Endpoint("update_task", "PATCH", "/tasks/{id:path}", "Change a task that nobody holds.", answers.TaskTold,
             "task_id", body=inputs.TaskChange, versioned=True),
    Endpoint("list_artifacts", "GET", "/artifacts", "Artifacts, newest first, without contents.",
             answers.Page[answers.Artifact], query=inputs.Artifacts),
    Endpoint("create_artifact", "POST", "/artifacts", "Leave a text.", answers.ArtifactTold, body=inputs.NewArtifact,
             creates=True),
    Endpoint("upload_artifact", "POST", "/artifacts/upload", "Leave a file: the body is its bytes.",
             answers.ArtifactTold, query=inputs.ArtifactPlace, media="application/octet-stream"),
    Endpoint("download_artifact", "GET", "/artifacts/{id:path}/content", "Its bytes, as a download.", bytes, "artifact",
             media="application/octet-stream"),
    Endpoint("get_artifact", "GET", "/artifacts/{id:path}", "An artifact with its text.", answers.ArtifactTold,
             "artifact"),
    Endpoint("list_agents", "GET", "/agents", "Agents, what they hold and what waits for them.",
             answers.Page[answers.Agent]),
    Endpoint("get_agent", "GET", "/agents/{id}", "One agent.", answers.Agent, "agent_name"),
    Endpoint("register_agent", "PUT", "/agents/{id}", "Make an agent known; counts as a heartbeat.", answers.Agent,
             "agent_name", body=inputs.Registration),
    Endpoint("heartbeat_agent", "POST", "/agents/{id}/heartbeat", "It is alive.", answers.Agent, "agent_name"),
    Endpoint("deregister_agent", "POST", "/agents/{id}/deregister",
             "It goes offline; what it holds goes back to the queue.", answers.Deregistered, "agent_name"),
    Endpoint("list_deliveries", "GET", "/deliveries", "Deliveries, latest first.", answers.Page[answers.Delivery],
             query=inputs.Deliveries),
    Endpoint("count_deliveries", "GET", "/deliveries/count", "How many are in each state.", dict[str, int]),
    Endpoint("get_delivery", "GET", "/deliveries/{id}", "A delivery and what became of it.", answers.DeliveryTold,
             "delivery"),
    Endpoint("get_delivery_body", "GET", "/deliveries/{id}/body", "Its body, byte for byte, as a download.", bytes,
             "delivery", media="application/octet-stream"),
    Endpoint("replay_deliveries", "POST", "/deliveries/replay", "Process again all that fit.", answers.Replayed,
             body=inputs.Replay),
    Endpoint("replay_delivery", "POST", "/deliveries/{id}/replay",
             "Process one again that failed, was unknown or ignored.", answers.DeliveryTold, "delivery"),
    Endpoint("search", "GET", "/search", "What answers a question, best first.", answers.Page[answers.Hit],
             query=inputs.Search),
    Endpoint("search_facets", "GET", "/search/facets", "The best hits counted by kind, type, session, speaker, month.",
             answers.Page[answers.Facet], query=inputs.Filters),
    Endpoint("get_context", "GET", "/context", "What was decided and said, to hand to a language model.",
             answers.Context, query=inputs.Context),
    Endpoint("list_events", "GET", "/events",
             "What happened to tasks and memories, first to last. With `Accept: text/event-stream` it goes on as a"
             " stream, after `Last-Event-ID` or from now.",
             answers.Page[answers.Event], query=inputs.Events),
    Endpoint("list_subscriptions", "GET", "/subscriptions", "Who is told outside of what happens.",
             answers.Page[answers.SubscriptionListed]),
    Endpoint("add_subscription", "POST", "/subscriptions", "Tell somebody outside from now on.", answers.Subscription,
             body=inputs.NewSubscription),
    Endpoint("remove_subscription", "DELETE", "/subscriptions/{id}", "Forget it with its log and its exports.",
             answers.SubscriptionRemoved, "name"),
    Endpoint("enable_subscription", "POST", "/subscriptions/{id}/enable", "Go on where it stopped.",
             answers.Subscription, "name", body=inputs.Enabling),
    Endpoint("disable_subscription", "POST", "/subscriptions/{id}/disable", "Send nothing more for now.",
             answers.Subscription, "name"),
    Endpoint("list_outgoing", "GET", "/subscriptions/{id}/outgoing", "What went out to it, latest first; no bodies.",
             answers.Page[answers.Outgoing], "name", query=inputs.Outgoing),
    Endpoint("replay_outgoing", "POST", "/outgoing/{id}/replay", "Send one again.", answers.Outgoing, "outgoing_id"),
    Endpoint("list_tokens", "GET", "/tokens", "All tokens that there ever were, without themselves.",
             answers.Page[answers.Token]),
    Endpoint("create_token", "POST", "/tokens", "Make a token; it is shown this once.", answers.TokenMade,
             body=inputs.NewToken),
    Endpoint("revoke_token", "POST", "/tokens/{id:path}/revoke", "It opens nothing any more.", answers.Token, "name"),
    Endpoint("list_audit", "GET", "/audit", "Who read, changed, approved and deleted what, latest first; ids only.",
             answers.Page[answers.Audited], query=inputs.Audited),
    Endpoint("list_people", "GET", "/people", "People who log in to the console.", answers.Page[answers.Person]),
    Endpoint("update_person", "PATCH", "/people/{id}", "Change a person's role, or whether they get in; answers all.",
             answers.Page[answers.Person], "name", body=inputs.PersonChange),
    Endpoint("create_login_link", "POST", "/login-links",
             "Make a link by which somebody new, or a person who forgot their password, gets in to the console.",
             answers.LoginLink, body=inputs.NewLoginLink),
)  # fmt: skip

BY_NAME: dict[str, Endpoint] = {endpoint.name: endpoint for endpoint in ENDPOINTS}
