"""What a reviewer says of the items of the inbox, each an action; what it did, and how it is taken back."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import quote

import orjson
from starlette.responses import Response

from access.console.inbox import UNDO_COOKIE, Choice, Key, Outcome, item_context, panel_of, problem_of, tell
from access.console.rendering import short, written
from access.console.visit import Visit
from domain.errors import AIWebhookError, ChangedMeanwhile, InvalidMove, InvalidRequest, NotFound
from store import console
from store.database import Row

# What undoing may do; anything else in the form is refused.
UNDOING = {"restore_memory": int, "split_memory": int, "edit_memory": int, "restore_task": str, "update_task": str}
MOST_UNDONE = 100
COOKIE_CHARS = 3000
PLACE = re.compile(r"[\w-]{1,100}")
TITLE_CHARS = 80
HAPPENED = {
    "accepted": "accepted it",
    "rejected": "rejected it",
    "restored": "took back what was said of it",
    "edited": "edited it",
    "merged": "merged it into another",
    "split": "split it from another",
    "superseded": "replaced it by another",
    "reinstated": "took back that it was replaced",
    "pending": "let it be done",
    "claimed": "took it",
    "running": "took it",
    "needs_input": "asked about it",
    "cancelled": "rejected it",
    "completed": "finished it",
}
Deed = Callable[[Visit, Key, str | None], Outcome]


def change(visit: Visit) -> Response:
    do = visit.form.get("do", "")
    if do == "undo":
        return answered(visit, take_back(visit, visit.form.get("undo", "")))
    if do in MANY:
        return answered(visit, one_by_one(visit, MANY[do]))
    key, version = Key.of(visit.form.get("item")), visit.form.text("version")
    if do in ("accept", "reject"):
        return answered(visit, tried(visit, {"accept": accept, "reject": reject}[do], key, version))
    if (key.kind, do) not in TYPED:
        raise InvalidRequest("There is nothing of this name to do.")
    try:
        return answered(visit, TYPED[key.kind, do](visit, key, version))
    except (ChangedMeanwhile, InvalidMove, InvalidRequest) as problem:
        return ask_again(visit, key, problem)


# What can be said


def accept(visit: Visit, key: Key, version: str | None) -> Outcome:
    if key.kind == "task":
        row = visit.act("approve_task", task_id=key.id, version=version)
        return Outcome(f"Approved: {named(row)}.", restoring_task(key))
    row = visit.act("accept_memory", memory=key.id, version=version)
    return Outcome(f"Accepted: {named(row)}.", restoring_memory(row))


def reject(visit: Visit, key: Key, version: str | None) -> Outcome:
    if key.kind == "task":
        row = visit.act("cancel_task", task_id=key.id, version=version)
        return Outcome(f"Rejected: {named(row)}.", restoring_task(key))
    row = visit.act("reject_memory", memory=key.id, version=version)
    return Outcome(f"Rejected: {named(row)}.", restoring_memory(row))


def edit(visit: Visit, key: Key, version: str | None) -> Outcome:
    before = visit.act("get_memory", memory=key.id)
    changes = {"title": typed(visit, "title"), "type": visit.form.get("type", before["type"]), "tags": tags(visit)}
    if all(before[name] == value for name, value in changes.items()):
        raise InvalidRequest("Nothing is changed.", hint="Accept it if it is right as it stands.")
    after = visit.act("edit_memory", memory=key.id, version=version, **changes)
    back = {"memory": after["id"], "version": after["version"]} | {name: before[name] for name in changes}
    return Outcome(f"Edited: {named(after)}.", ([["edit_memory", back], ["restore_memory", {"memory": after["id"]}]],))


def typed(visit: Visit, name: str) -> str:
    text = visit.form.text(name)
    if text is None:
        raise InvalidRequest(f"The {name} is empty.")
    return text


def tags(visit: Visit) -> list[str]:
    return [tag for part in visit.form.get("tags", "").split(",") if (tag := part.strip())]


def merge(visit: Visit, key: Key, version: str | None) -> Outcome:
    into = visit.form.text("number") or visit.form.text("into")
    if into is None:
        raise InvalidRequest("It is not said with which memory.", hint="Choose one, or type its number.")
    row = visit.act("merge_memory", memory=key.id, into=into, version=version)
    return Outcome(f"The same as {named(row)}.", ([["split_memory", {"memory": key.id}]],))


def change_task(visit: Visit, key: Key, version: str | None) -> Outcome:
    before = visit.act("get_task", task_id=key.id)
    changes = {
        "title": typed(visit, "title"),
        "agent_name": visit.form.text("agent") or before["agent_name"],
        "priority": visit.form.text("priority"),
        "input_data": with_due(before["input_data"], visit.form.text("due")),
        "not_before": instant(visit, before["not_before"]),
    }
    after = visit.act("update_task", task_id=key.id, version=version, **changes)
    back = {name: before[name] for name in changes} | {"task_id": key.id, "version": after["version"]}
    if before["not_before"] is None and after["not_before"] is not None:
        back["not_before"] = datetime.now(UTC)  # a time that is past is as none
    return Outcome(f"Changed: {named(after)}.", ([["update_task", back]],))


def with_due(input_data: Row, due: str | None) -> Row:
    """The day by which it is to be done stands where the words of the talk put it, for the agent to read; unlike
    `not_before` it holds nobody back."""
    rest = {name: value for name, value in input_data.items() if name not in ("due", "due_at")}
    if due is None:
        return rest
    if str(input_data.get("due_at") or input_data.get("due"))[:10] == due:
        return input_data
    try:
        day = date.fromisoformat(due).isoformat()
    except ValueError:
        raise InvalidRequest("The day by which it is due is none.", hint="A day such as 2026-03-01.") from None
    return rest | {"due": day, "due_at": day}


def instant(visit: Visit, before: datetime | None) -> datetime | None:
    """What was typed as `not before`, in the reader's zone; a time that is past where it was taken out."""
    text = visit.form.text("not_before")
    if text is None:
        return datetime.now(UTC) if before else None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=visit.zone or UTC)
    except ValueError:
        raise InvalidRequest(
            "The time before which it is not to be done is none.", hint="A time such as 2026-03-01T09:00."
        ) from None


def answer(visit: Visit, key: Key, version: str | None) -> Outcome:
    row = visit.act("answer_task", task_id=key.id, answer=typed(visit, "answer"), version=version)
    return Outcome(f"Answered: {named(row)}.", restoring_task(key))


def restoring_memory(row: Row) -> tuple[Any, ...]:
    return ([["restore_memory", {"memory": row["id"], "version": row["version"]}]],)


def restoring_task(key: Key) -> tuple[Any, ...]:
    return ([["restore_task", {"task_id": key.id}]],)


def named(row: Row) -> str:
    return f"“{short(row['title'], TITLE_CHARS)}”"


MANY: dict[str, Deed] = {"accept-chosen": accept, "reject-chosen": reject}
TYPED: dict[tuple[str, str], Deed] = {
    ("memory", "edit"): edit,
    ("memory", "merge"): merge,
    ("task", "task"): change_task,
    ("task", "answer"): answer,
}


# Several, and back


def one_by_one(visit: Visit, deed: Deed) -> Outcome:
    """Does it to each that was chosen; what cannot be done to one keeps no other from it."""
    chosen = visit.form.every("chosen")
    if not chosen:
        return Outcome(failed=("Nothing is chosen.",))
    done = []
    for text in chosen:
        version, _, name = text.partition(".")
        done.append(tried(visit, deed, Key.of(name), version or None))
    undo = tuple(chain for outcome in done for chain in outcome.undo)
    failed = tuple(line for outcome in done for line in outcome.failed)
    if len(done) == 1:
        return done[0]
    verb = "accepted" if deed is accept else "rejected"
    return Outcome(f"{len(done) - len(failed)} {verb}." if undo else "", undo, failed)


def tried(visit: Visit, deed: Deed, key: Key, version: str | None) -> Outcome:
    try:
        return deed(visit, key, version)
    except AIWebhookError as problem:
        return Outcome(failed=(f"{title_of(visit, key)}: {because(visit, key, problem)}",))


def take_back(visit: Visit, text: str) -> Outcome:
    chains = read_undo(text)
    failed = []
    for chain in chains:
        try:
            for name, asked in chain:
                visit.act(name, **asked)
        except AIWebhookError as problem:
            [identity] = (value for key, value in chain[0][1].items() if key in ("memory", "task_id"))
            key = Key("memory" if isinstance(identity, int) else "task", identity)
            failed.append(f"{title_of(visit, key)}: {because(visit, key, problem)}")
    done = len(chains) - len(failed)
    return Outcome("Taken back." if done == 1 else f"{done} taken back." if done else "", failed=tuple(failed))


def read_undo(text: str) -> list[Any]:
    try:
        chains = orjson.loads(text)
        steps = [step for chain in chains for step in chain]
        if steps and len(steps) <= MOST_UNDONE and all(chains) and all(is_step(*step) for step in steps):
            return list(chains)
    except (orjson.JSONDecodeError, TypeError, AttributeError):
        pass
    raise InvalidRequest("This cannot be taken back.", hint="Change it on its own.")


def is_step(name: str, asked: dict[str, Any]) -> bool:
    """Whether it is one that undoes, of an item, in the name of who sends it."""
    ids = [value for key, value in asked.items() if key in ("memory", "task_id")]
    return name in UNDOING and [type(id) for id in ids] == [UNDOING[name]] and "person" not in asked


# What is answered


def answered(visit: Visit, outcome: Outcome) -> Response:
    """With scripts a line above the list, which then looks anew; without, the page at the item that followed."""
    status = 409 if outcome.failed and not outcome.undo else 200
    if visit.by_htmx:
        return visit.render("_inbox_told.html", status, outcome=outcome, undo="", choice=Choice.of(visit))
    if outcome.failed:
        return tell(visit, status, outcome=outcome)
    following = visit.form.get("next", "")
    response = visit.go(Choice.of(visit).here + (f"#{following}" if PLACE.fullmatch(following) else ""), outcome.said)
    undo = quote(outcome.undo_text)
    if undo and len(undo) <= COOKIE_CHARS:
        response.set_cookie(UNDO_COOKIE, undo, path="/inbox", httponly=True, samesite="lax", secure=visit.secure)
    return response


def ask_again(visit: Visit, key: Key, problem: AIWebhookError) -> Response:
    """What was typed stays in its form, beside what the item is now; sent again, it goes before that."""
    where = Key.of(visit.form.get("shown") or str(key))
    told = problem_of(problem, because(visit, key, problem))
    if not visit.by_htmx:
        return tell(visit, problem.status, opened=where, typed=visit.form, problem=told)
    panel = visit.read(lambda conn: panel_of(conn, where))
    if panel is None:
        raise problem
    more = item_context(visit, {"typed": visit.form, "problem": told})
    response = visit.render(
        "_inbox_item.html", problem.status, one=panel["one"], opened=panel, choice=Choice.of(visit), **more
    )
    response.headers.update({"hx-retarget": f"#{where.place}", "hx-reswap": "outerHTML"})
    return response


def because(visit: Visit, key: Key, problem: AIWebhookError) -> str:
    """Why not; where somebody was there before, who, what they did and when."""
    if not isinstance(problem, ChangedMeanwhile | InvalidMove):
        return problem.message
    event = visit.read(lambda conn: console.last_event(conn, key.kind, key.id))
    if event is None or event["event"] not in HAPPENED:
        return "Somebody changed it since you saw it."
    return f"{event['actor']} {HAPPENED[event['event']]}, {written(event['at'], visit.zone)}."


def title_of(visit: Visit, key: Key) -> str:
    try:
        is_task = key.kind == "task"
        row = visit.act("get_task", task_id=key.id) if is_task else visit.act("get_memory", memory=key.id)
    except (NotFound, AIWebhookError):
        return str(key)[:TITLE_CHARS]
    return named(row)
