"""Commands that read and move what is stored: search, sessions, memories, tasks, artifacts, agents, deliveries."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from domain.errors import InvalidRequest
from ops.cli import AsJson, Data, Limit, app, service
from ops.output import clean, console, highlighted, say, say_json, show_items, show_record

sessions = typer.Typer(help="Conversations.", no_args_is_help=True)
memories = typer.Typer(
    help="Ideas, decisions, questions and the like, with the words they came from.", no_args_is_help=True
)
tasks = typer.Typer(help="Work for agents: list, claim, finish, approve.", no_args_is_help=True)
artifacts = typer.Typer(help="What agents and senders left.", no_args_is_help=True)
agents = typer.Typer(help="The registry of agents.", no_args_is_help=True)
deliveries = typer.Typer(help="What was accepted, and what became of it.", no_args_is_help=True)
for name, group in {
    "sessions": sessions, "memories": memories, "tasks": tasks,
    "artifacts": artifacts, "agents": agents, "deliveries": deliveries,
}.items():  # fmt: skip
    app.add_typer(group, name=name)

Session = Annotated[str | None, typer.Option("--session", help="Only of this session.")]
Token = Annotated[str, typer.Option("--token", help="The claim token that `tasks claim` printed.")]
Person = Annotated[str, typer.Option("--as", help="Who does it.")]


@app.command()
def search(
    query: Annotated[str, typer.Argument(help='A question or some words; "in quotes" and -without are kept to.')],
    kinds: Annotated[
        list[str] | None, typer.Option("--in", help="turns, chunks, memories, tasks or artifacts; may be repeated.")
    ] = None,
    session: Session = None,
    type: Annotated[str | None, typer.Option("--type", help="Only memories or tasks of this type.")] = None,
    speaker: Annotated[str | None, typer.Option("--speaker", help="Only what this speaker said.")] = None,
    since: Annotated[datetime | None, typer.Option("--since", help="Only from this time on, UTC.")] = None,
    until: Annotated[datetime | None, typer.Option("--until", help="Only before this time, UTC.")] = None,
    as_of: Annotated[datetime | None, typer.Option("--as-of", help="Memories that were in force then, UTC.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show what each word gives to the score.")] = False,
    facets: Annotated[bool, typer.Option("--facets", help="Count the best hits instead of listing them.")] = False,
    limit: Limit = 10,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Find what was said, decided, planned or made."""
    parameters: dict[str, Any] = {"q": query, "in": kinds or None, "session": session, "type": type, "speaker": speaker}
    parameters |= {"since": instant(since), "until": instant(until), "as_of": instant(as_of)}
    with service(data) as client:
        if facets:
            counted = client.call("search_facets", **parameters)["items"]
            show_items(counted, ["facet", "value", "label", "hits"], as_json=as_json, empty="Nothing to count.")
            return
        hits = client.call("search", **parameters, limit=limit)["items"]
    if as_json:
        say_json(hits)
    elif not hits:
        say("Nothing shares a word with that. Try fewer or other words.")
    else:
        show_hits(hits, explain=explain)


def instant(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


@app.command()
def context(
    question: Annotated[str, typer.Argument(help="What a language model is to be asked.")],
    tokens: Annotated[int, typer.Option("--tokens", help="How many it may take, about.")] = 1500,
    session: Session = None,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """What was decided and said about a question, to hand to a language model with it."""
    with service(data) as client:
        answer = client.call("get_context", q=question, tokens=tokens, session=session)
    if as_json:
        say_json(answer)
    else:
        say(clean(answer["text"]) if answer["text"] else "Nothing was said about that.")


def show_hits(hits: list[dict[str, Any]], *, explain: bool = False) -> None:
    for number, hit in enumerate(hits, 1):
        console.print(f"{number:>2}. ", highlighted(hit["snippet"], hit["highlights"]), sep="")
        place = f"turn {hit['turn_seq']}" if hit["turn_seq"] else hit["id"]
        parts = [
            hit["type"] or hit["kind"].removesuffix("s"),
            hit["speaker"],
            hit["session_title"] or hit["session_id"],
        ]
        console.print("    " + clean(" · ".join(str(p) for p in [*parts, place] if p)), style="dim", markup=False)
        if explain:
            words = sorted((hit["explained"] or {}).items(), key=lambda word: -word[1])
            told = ", ".join(f"{word} {share:.2f}" for word, share in words) or "none of its own words"
            console.print("    " + clean(f"score {hit['score']:.3f}: {told}"), style="dim", markup=False)


@sessions.command("list")
def list_sessions(
    status: Annotated[str | None, typer.Option(help="active, paused or completed.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Latest activity first."""
    with service(data) as client:
        items = client.call("list_sessions", status=status, limit=limit)["items"]
    columns = ["id", "title", "status", "last_activity", "conversation_chunk_count", "memory_count", "task_count"]
    show_items(items, columns, as_json=as_json, empty="No session yet. `ai-webhook send FILE` makes one.")


@sessions.command("show")
def show_session(id: str, as_json: AsJson = False, data: Data = None) -> None:
    """A session with its turns, memories and tasks."""
    with service(data) as client:
        session = client.call("get_session", id)
    if as_json:
        say_json(session)
        return
    parts = {name: session.pop(name) for name in ("turns", "memories", "tasks")}
    show_record(session, as_json=False)
    say()
    for turn in parts["turns"]:
        say(f"{turn['seq']:>4}  {turn['speaker'] or turn['role']}: {turn['text']}")
    for name in ("memories", "tasks"):
        if parts[name]:
            say(f"\n{name}")
            show_items(
                parts[name], ["id", "type" if name == "memories" else "status", "title"], as_json=False, empty=""
            )


@memories.command("list")
def list_memories(
    type: Annotated[str | None, typer.Option(help="decision, idea, question, action_item, fact, note, …")] = None,
    session: Session = None,
    tag: Annotated[str | None, typer.Option(help="Only with this tag.")] = None,
    review: Annotated[str | None, typer.Option(help="proposed, accepted, rejected or edited.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Newest first; what was said again is there once."""
    with service(data) as client:
        items = client.call("list_memories", type=type, session=session, tag=tag, review=review, limit=limit)["items"]
    columns = ["id", "type", "review", "times_said", "title", "speaker", "session_id", "superseded_by"]
    show_items(items, columns, as_json=as_json, empty="No memory found.")


@memories.command("show")
def show_memory(id: int, as_json: AsJson = False, data: Data = None) -> None:
    """A memory with its quote, and every time that it was said."""
    with service(data) as client:
        memory = client.call("get_memory", id)
    if as_json:
        say_json(memory)
        return
    evidence = memory.pop("evidence")
    show_record(memory, as_json=False)
    say(f"\nsaid {len(evidence)} times" if len(evidence) > 1 else "\nsaid once")
    show_items(evidence, ["id", "said_at", "speaker", "quote", "session_id", "turn_seq"], as_json=False, empty="")


def review(id: int, verb: str, said: str, data: Path | None, as_json: bool, **body: Any) -> None:
    with service(data) as client:
        memory = client.call(f"{verb}_memory", id, **body)
    if as_json:
        say_json(memory)
    else:
        say(f"Memory {memory['id']} is {said or memory['review']}: {memory['title']}")


@memories.command("related")
def related_memories(id: int, limit: Limit = 10, as_json: AsJson = False, data: Data = None) -> None:
    """What else was said about the same, in other sessions, too."""
    show_related("related_to_memory", id, limit, as_json, data)


def show_related(route: str, id: int | str, limit: int, as_json: bool, data: Path | None) -> None:
    with service(data) as client:
        hits = client.call(route, id, limit=limit)["items"]
    if as_json:
        say_json(hits)
    elif hits:
        show_hits(hits)
    else:
        say("Nothing else was said about it.")


@memories.command("accept")
def accept_memory(id: int, person: Person = "command line", as_json: AsJson = False, data: Data = None) -> None:
    """Say that a memory is right; the task of an inferred action item is approved."""
    review(id, "accept", "", data, as_json, person=person)


@memories.command("reject")
def reject_memory(
    id: int, reason: str | None = None, person: Person = "command line", as_json: AsJson = False, data: Data = None
) -> None:
    """Say that a memory is wrong; a task nobody has begun is cancelled, and it does not come back."""
    review(id, "reject", "", data, as_json, person=person, reason=reason)


@memories.command("restore")
def restore_memory(id: int, person: Person = "command line", as_json: AsJson = False, data: Data = None) -> None:
    """Take back what was said of a memory last."""
    review(id, "restore", "", data, as_json, person=person)


@memories.command("edit")
def edit_memory(
    id: int,
    title: Annotated[str | None, typer.Option("--title", help="What it says in a few words.")] = None,
    type: Annotated[str | None, typer.Option("--type", help="decision, idea, question, action_item, …")] = None,
    content: Annotated[str | None, typer.Option("--content", help="What else is known, as a JSON object.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="All its tags; may be repeated.")] = None,
    person: Person = "command line",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Say anew what a memory says; what is read again does not change it any more."""
    changes: dict[str, Any] = {"title": title, "type": type, "tags": tag}
    changes |= {"content": None if content is None else parsed_json(content, "--content")}
    with service(data) as client:
        memory = client.call("edit_memory", id, person=person, **changes)
    say_json(memory) if as_json else say(f"Memory {memory['id']} is edited: {memory['title']}")


@memories.command("merge")
def merge_memory(
    id: int,
    into: Annotated[int, typer.Argument(help="The memory that says the same.")],
    person: Person = "command line",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Say that a memory says the same as another, which then stands for both."""
    review(id, "merge", "the one that stands", data, as_json, person=person, into=into)


@memories.command("split")
def split_memory(id: int, person: Person = "command line", as_json: AsJson = False, data: Data = None) -> None:
    """Take a merged memory out again: it says something else."""
    review(id, "split", "one of its own", data, as_json, person=person)


@memories.command("supersede")
def supersede_memory(
    id: int,
    by: Annotated[int, typer.Argument(help="The later memory that takes its place.")],
    person: Person = "command line",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Say that a later decision took the place of this one."""
    review(id, "supersede", f"replaced by {by}", data, as_json, person=person, by=by)


@memories.command("reinstate")
def reinstate_memory(id: int, person: Person = "command line", as_json: AsJson = False, data: Data = None) -> None:
    """Say that a decision was not replaced."""
    review(id, "reinstate", "standing again", data, as_json, person=person)


@tasks.command("list")
def list_tasks(
    status: Annotated[str | None, typer.Option(help="proposed, pending, claimed, running, completed, …")] = None,
    agent: Annotated[str | None, typer.Option(help="Only of this agent.")] = None,
    session: Session = None,
    limit: Limit = 50,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Latest change first."""
    with service(data) as client:
        items = client.call("list_tasks", status=status, agent=agent, session=session, limit=limit)["items"]
    columns = ["id", "status", "agent_name", "task_type", "priority", "title", "doubt"]
    show_items(items, columns, as_json=as_json, empty="No task found.")


@tasks.command("add")
def add_task(
    title: Annotated[str, typer.Argument(help="What is to be done.")],
    agent: Annotated[str | None, typer.Option("--agent", help="Who is to do it; unset: the default agent.")] = None,
    priority: Annotated[int, typer.Option("--priority", help="Higher is sooner; 50 is ordinary.")] = 50,
    session: Annotated[str | None, typer.Option("--session", help="The conversation it comes of.")] = None,
    after: Annotated[list[str] | None, typer.Option("--after", help="A task to be completed first.")] = None,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Make a task."""
    with service(data) as client:
        fields: dict[str, Any] = {"agent_name": agent, "priority": priority, "session_id": session}
        made = client.call("create_task", title=title, depends_on=after or [], **fields)
    say_json(made) if as_json else say(f"{made['id']} waits for {made['agent_name']}.")


@tasks.command("show")
def show_task(id: str, as_json: AsJson = False, data: Data = None) -> None:
    """A task with the words it came from."""
    with service(data) as client:
        show_record(client.call("get_task", id), as_json=as_json)


@tasks.command("related")
def related_tasks(id: str, limit: Limit = 10, as_json: AsJson = False, data: Data = None) -> None:
    """What else was said about it, in other sessions, too."""
    show_related("related_to_task", id, limit, as_json, data)


@tasks.command("claim")
def claim_task(
    agent: Annotated[str, typer.Argument(help="For which agent, such as claude_code.")],
    control_agent: Annotated[str, typer.Option("--as", help="Who holds the claim.")],
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000)] = 1,
    lease: Annotated[int, typer.Option("--lease", help="Seconds until the claim lapses.")] = 300,
    fair: Annotated[bool, typer.Option("--fair", help="Sessions first of which fewer tasks are held.")] = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Take the most urgent task; prints the token that every later move needs."""
    with service(data) as client:
        answer = client.call(
            "claim_task",
            agent_name=agent,
            control_agent=control_agent,
            lease_seconds=lease,
            max_tasks=limit,
            fair=fair,
        )
    columns = ["task_id", "claim_token", "lease_until", "attempt", "title", "doubt"]
    show_items(answer["items"], columns, as_json=as_json, empty=f"Nothing waits for {agent}.")


def move(id: str, name: str, data: Path | None, as_json: bool, **body: Any) -> None:
    with service(data) as client:
        task = client.call(f"{name}_task", id, **body)
    if as_json:
        say_json(task)
    else:
        say(f"{task['id']} is {task['status']}.")


@tasks.command("export")
def export_task(
    id: str,
    to: Annotated[str, typer.Option("--to", help="A subscription of GitHub or Linear.")],
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Make a task an issue elsewhere, and follow it there."""
    with service(data) as client:
        export = client.call("export_task", id, subscription=to)
    say_json(export) if as_json else say(f"{id} is exported to {to}" + (f": {export['url']}" if export["url"] else "."))


@tasks.command("start")
def start_task(
    id: str, token: Token, process_id: int | None = None, as_json: AsJson = False, data: Data = None
) -> None:
    """Say that work on a claimed task has begun."""
    move(id, "start", data, as_json, claim_token=token, process_id=process_id)


@tasks.command("renew")
def renew_task(
    id: str,
    token: Token,
    lease: Annotated[int, typer.Option("--lease", help="Seconds from now.")] = 300,
    progress: Annotated[float | None, typer.Option(min=0, max=1)] = None,
    note: str | None = None,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Keep a claim."""
    move(id, "renew", data, as_json, claim_token=token, lease_seconds=lease, progress=progress, note=note)


@tasks.command("complete")
def complete_task(
    id: str,
    token: Token,
    output: Annotated[str | None, typer.Option("--output", help="Output data as JSON.")] = None,
    artifact: Annotated[list[Path] | None, typer.Option("--artifact", help="File to leave; may be repeated.")] = None,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Finish a claimed task, with its output and files."""
    output_data = None if output is None else parsed_json(output, "--output")
    with service(data) as client:
        ids = [client.upload_artifact(path.name, read_file(path), task_id=id)["id"] for path in artifact or []]
        task = client.call("complete_task", id, claim_token=token, output_data=output_data, artifacts=ids)
    if as_json:
        say_json(task)
    else:
        say(f"{task['id']} is {task['status']}.")


@tasks.command("fail")
def fail_task(
    id: str,
    token: Token,
    error: Annotated[str, typer.Option("--error", help="What went wrong.")],
    retry: Annotated[bool, typer.Option(help="Let it be tried again.")] = True,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Give a claimed task up with an error."""
    move(id, "fail", data, as_json, claim_token=token, error=error, retry=retry)


@tasks.command("release")
def release_task(id: str, token: Token, as_json: AsJson = False, data: Data = None) -> None:
    """Give a claimed task back unfinished."""
    move(id, "release", data, as_json, claim_token=token)


@tasks.command("ask")
def ask_task(id: str, question: str, token: Token, as_json: AsJson = False, data: Data = None) -> None:
    """Park a claimed task until a person has answered a question."""
    move(id, "ask", data, as_json, claim_token=token, question=question)


@tasks.command("retry")
def retry_task(id: str, person: Person = "command line", as_json: AsJson = False, data: Data = None) -> None:
    """Give a failed or cancelled task all its tries again."""
    move(id, "retry", data, as_json, person=person)


@tasks.command("restore")
def restore_task(id: str, person: Person = "command line", as_json: AsJson = False, data: Data = None) -> None:
    """Take an approval, an answer or a cancellation back."""
    move(id, "restore", data, as_json, person=person)


@tasks.command("approve")
def approve_task(id: str, person: Person = "command line", as_json: AsJson = False, data: Data = None) -> None:
    """Let agents take a proposed task."""
    move(id, "approve", data, as_json, person=person)


@tasks.command("cancel")
def cancel_task(id: str, reason: str | None = None, as_json: AsJson = False, data: Data = None) -> None:
    """End a task that is not to be done."""
    move(id, "cancel", data, as_json, reason=reason)


@tasks.command("answer")
def answer_task(
    id: str, answer: str, person: Person = "command line", as_json: AsJson = False, data: Data = None
) -> None:
    """Answer what an agent asked."""
    move(id, "answer", data, as_json, answer=answer, person=person)


@artifacts.command("list")
def list_artifacts(
    session: Session = None,
    task: Annotated[str | None, typer.Option(help="Only of this task.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Newest first."""
    with service(data) as client:
        items = client.call("list_artifacts", session=session, task=task, limit=limit)["items"]
    show_items(items, ["id", "name", "type", "size", "task_id", "created"], as_json=as_json, empty="No artifact found.")


@artifacts.command("show")
def show_artifact(
    id: str,
    save: Annotated[Path | None, typer.Option("--save", help="Write its bytes to this file instead.")] = None,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """An artifact's content; with --json all about it."""
    with service(data) as client:
        artifact = client.call("get_artifact", id)
        if save is not None:
            save.write_bytes(client.call("download_artifact", id))
    if as_json:
        say_json(artifact)
    elif save is not None:
        say(f"{artifact['size']} bytes are in {save}.")
    else:
        say(artifact["content"] or f"{artifact['size']} bytes that are no text; --save FILE writes them.")


@agents.command("list")
def list_agents(as_json: AsJson = False, data: Data = None) -> None:
    """Agents, what they hold and what waits for them."""
    with service(data) as client:
        items = client.call("list_agents")["items"]
    columns = ["name", "type", "status", "held", "waiting", "max_concurrent", "capabilities"]
    show_items(items, columns, as_json=as_json, empty="No agent is registered.")


@agents.command("register")
def register_agent(
    name: str,
    type: Annotated[str, typer.Option("--type", help="What kind of agent it is.")] = "cli",
    command: Annotated[str | None, typer.Option("--command", help="The program that does its work.")] = None,
    max_concurrent: Annotated[int, typer.Option("--max", min=0, max=1000, help="Tasks it may hold at a time.")] = 4,
    can: Annotated[list[str] | None, typer.Option("--can", help="A capability; may be repeated.")] = None,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Make an agent known, or say anew what it is."""
    with service(data) as client:
        agent = client.call(
            "register_agent",
            name,
            type=type,
            command=command,
            max_concurrent=max_concurrent,
            capabilities=can or [],
        )
    say_json(agent) if as_json else say(f"{agent['name']} is {agent['status']}.")


@agents.command("heartbeat")
def heartbeat_agent(name: str, as_json: AsJson = False, data: Data = None) -> None:
    """Say that an agent is alive."""
    with service(data) as client:
        agent = client.call("heartbeat_agent", name)
    say_json(agent) if as_json else say(f"{agent['name']} is {agent['status']}.")


@agents.command("deregister")
def deregister_agent(name: str, as_json: AsJson = False, data: Data = None) -> None:
    """Take an agent offline; what it holds goes back to the queue."""
    with service(data) as client:
        answer = client.call("deregister_agent", name)
    say_json(answer) if as_json else say(f"{name} is offline; {answer['returned']} tasks went back to the queue.")


@deliveries.command("list")
def list_deliveries(
    state: Annotated[str | None, typer.Option(help="received, processed, ignored, unknown or failed.")] = None,
    source: Annotated[str | None, typer.Option(help="Only of this source.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Newest first."""
    with service(data) as client:
        items = client.call("list_deliveries", state=state, source=source, limit=limit)["items"]
    columns = ["id", "source", "event", "received_at", "state", "session_id", "error"]
    show_items(items, columns, as_json=as_json, empty="No delivery found.")


@deliveries.command("show")
def show_delivery(
    id: str,
    body: Annotated[bool, typer.Option("--body", help="Print the body, byte for byte.")] = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """A delivery and what became of it."""
    with service(data) as client:
        if body:
            typer.echo(client.call("get_delivery_body", id), nl=False)
        else:
            show_record(client.call("get_delivery", id), as_json=as_json)


Since = Annotated[datetime | None, typer.Option("--since", help="Only what came from this time on, UTC.")]
Source = Annotated[str | None, typer.Option("--source", help="Only of this source.")]


@app.command()
def replay(
    id: Annotated[str | None, typer.Argument(help="One delivery that failed, was unknown or ignored.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every failed delivery that the filters leave.")] = False,
    source: Source = None,
    code: Annotated[str | None, typer.Option("--code", help="Only those that failed with this code.")] = None,
    session: Session = None,
    since: Since = None,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Process failed deliveries again."""
    if (id is None) == (not (every or source or code or session or since)):
        raise typer.BadParameter("name one delivery, or say which: --all, --source, --code, --session, --since")
    if id is None:
        put_back(["failed"], as_json, data, source=source, code=code, session_id=session, since=since)
        return
    with service(data) as client:
        delivery = client.call("replay_delivery", id)
    if as_json:
        say_json(delivery)
    else:
        say(f"{delivery['id']} will be processed again.")


@app.command()
def reprocess(
    source: Source = None, session: Session = None, since: Since = None, as_json: AsJson = False, data: Data = None
) -> None:
    """Run recorded deliveries, all or some, through today's processors; what people edited and agents did stays."""
    states = ["processed", "ignored", "unknown"]
    put_back(states, as_json, data, source=source, session_id=session, since=since)


def put_back(states: list[str], as_json: bool, data: Path | None, *, since: datetime | None, **filters: Any) -> None:
    at = since.replace(tzinfo=since.tzinfo or UTC).isoformat() if since else None
    with service(data) as client:
        answer = client.call("replay_deliveries", states=states, since=at, **filters)
    if as_json:
        say_json(answer)
    else:
        say(f"{answer['replayed']} deliveries will be processed again.")


def parsed_json(text: str, option: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise InvalidRequest(
            f"{option} is not JSON.", hint=f"For plain text write it in quotes: {option} '\"done\"'."
        ) from None


def read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read ({type(error).__name__}).") from None
