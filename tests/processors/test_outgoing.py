"""Signed webhooks over real HTTP: what arrives, what is tried again and when, and where nobody can send us."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from domain.errors import DatabaseUnavailable, SettingsError, SignatureError
from domain.outgoing import News
from processors import __main__ as processors_main
from processors import outgoing as sending
from processors.exporting.api import NotTaken, Told
from processors.jobs import Workshop
from processors.outgoing import MOST_TRIES, MOST_WAITING, PAUSES, attempt, deliver_due
from store import memories, outgoing
from store.database import Connection, Pool
from tests.processors.outside import (
    NEW_SECRET,
    NOON,
    SECRET,
    answers,
    complete,
    insert_memory,
    insert_task,
    only,
    out_settings,
    outcome,
    pool_of,
    send,
    subscribe,
    verified,
)
from tests.processors.sender_api import Api, answering, redirecting

PUBLIC = "93.184.216.34"


@pytest.fixture
def pool(database_url: str) -> Iterator[Pool]:
    with pool_of(database_url) as pool:
        yield pool


@pytest.fixture
def told(conn: Connection, api: Api) -> Api:
    """A receiver that is subscribed to everything, and one task for it to hear of."""
    api.routes["/hook"] = answering(b"thanks")
    subscribe(conn, f"{api.url}/hook")
    insert_task(conn)
    return api


def body_of(api: Api, place: int = 0) -> Any:
    return orjson.loads(api.asked[place][3])


# What arrives


def test_a_message_arrives_signed_and_says_what_happened(pool: Pool, told: Api, conn: Connection) -> None:
    assert send(pool) == 1
    ((method, path, headers, body),) = told.asked
    assert (method, path, headers["content-type"]) == ("POST", "/hook", "application/json")
    assert verified(headers, body, [SECRET], NOON) == only(conn)["id"]
    assert headers["webhook-id"].startswith("msg_")
    message = orjson.loads(body)
    assert message["type"] == "task.pending"
    assert message["timestamp"].endswith("Z")
    assert message["data"] == {
        "id": "t1", "title": "Look up its prices", "status": "pending", "task_type": "code", "agent_name": "codex",
        "session_id": None, "priority": 50, "actor": message["data"]["actor"], "from": None,
    }  # fmt: skip
    assert outcome(conn) == ("delivered", None, 200)
    assert send(pool) == 0


def test_a_body_that_was_changed_on_the_way_does_not_verify(pool: Pool, told: Api) -> None:
    send(pool)
    ((_, _, headers, body),) = told.asked
    with pytest.raises(SignatureError):
        verified(headers, body.replace(b"pending", b"failed"), [SECRET], NOON)


def test_what_people_said_stays_here_unless_it_is_asked_for(pool: Pool, api: Api, conn: Connection) -> None:
    api.routes |= {"/thin": answering(b""), "/full": answering(b"")}
    subscribe(conn, f"{api.url}/thin", "thin")
    subscribe(conn, f"{api.url}/full", "full", details=True)
    memory = insert_memory(conn, quote="The password is swordfish.")
    insert_task(conn, memory=memory)
    memories.reject(conn, memory, person="bob", reason="a joke")
    send(pool, out_settings(AI_WEBHOOK_OUT_SECRET_THIN=SECRET, AI_WEBHOOK_OUT_SECRET_FULL=SECRET))
    thin = [body for _, path, _, body in api.asked if path == "/thin"]
    full = [body for _, path, _, body in api.asked if path == "/full"]
    assert len(thin) == len(full) > 2
    assert not any(b"swordfish" in body or b"Mara" in body for body in thin)
    assert all(b"swordfish" in body for body in full)


def test_a_memory_is_told_with_its_type_and_who_did_what(pool: Pool, api: Api, conn: Connection) -> None:
    api.routes["/hook"] = answering(b"")
    memory = insert_memory(conn)
    subscribe(conn, f"{api.url}/hook", events=["memory.accepted"])
    memories.accept(conn, memory, person="bob")
    send(pool)
    message = body_of(api)
    assert message["type"] == "memory.accepted"
    assert message["data"] == {
        "id": memory, "title": "We use Postgres", "type": "decision", "session_id": "walk", "review": "accepted",
        "tags": [], "superseded_by": None, "merged_into": None, "actor": "bob",
    }  # fmt: skip


def test_while_a_secret_is_rotated_receivers_may_have_either(pool: Pool, told: Api) -> None:
    send(pool, out_settings(AI_WEBHOOK_OUT_SECRET_CRM=f"{NEW_SECRET}, {SECRET}"))
    ((_, _, headers, body),) = told.asked
    for secret in (SECRET, NEW_SECRET):
        assert verified(headers, body, [secret], NOON)
    with pytest.raises(SignatureError):
        verified(headers, body, ["whsec_" + "A" * 32], NOON)


def test_a_dash_in_a_name_is_an_underscore_in_its_setting(pool: Pool, api: Api, conn: Connection) -> None:
    api.routes["/hook"] = answering(b"")
    subscribe(conn, f"{api.url}/hook", "our-crm")
    insert_task(conn)
    send(pool, out_settings(AI_WEBHOOK_OUT_SECRET_OUR_CRM=SECRET))
    assert outcome(conn, "our-crm")[0] == "delivered"


def test_a_secret_may_come_from_a_file(pool: Pool, told: Api, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{NEW_SECRET}\n")
    send(pool, out_settings(AI_WEBHOOK_OUT_SECRET_CRM_FILE=str(tmp_path / "secret")))
    ((_, _, headers, body),) = told.asked
    assert verified(headers, body, [NEW_SECRET], NOON)


@pytest.mark.parametrize("wrong", ["10.0.0.0/99", "10.0.0.1/8", "hooks/8"])
def test_a_network_that_is_none_is_a_wrong_setting(wrong: str) -> None:
    with pytest.raises(SettingsError, match="AI_WEBHOOK_OUT_PRIVATE"):
        out_settings(AI_WEBHOOK_OUT_PRIVATE=wrong)


# What is tried again, and when


def test_the_id_stays_and_the_time_is_that_of_the_try(pool: Pool, told: Api, conn: Connection) -> None:
    told.routes["/hook"] = answers(answering(b"", 500), answering(b""))
    send(pool)
    assert outcome(conn) == ("waiting", "refused_there", 500)
    later = NOON + timedelta(seconds=PAUSES[0])
    assert send(pool, now=later - timedelta(seconds=1)) == 0
    assert send(pool, now=later) == 1
    (_, _, first, body), (_, _, second, again) = told.asked
    assert first["webhook-id"] == second["webhook-id"]
    assert (first["webhook-timestamp"], second["webhook-timestamp"]) == (
        str(int(NOON.timestamp())),
        str(int(later.timestamp())),
    )
    assert body == again
    assert verified(second, again, [SECRET], later)
    assert outcome(conn) == ("delivered", None, 200)


@pytest.mark.parametrize("status", [301, 400, 401, 404, 408, 429, 500, 502, 503])
def test_every_status_but_success_is_a_failure_that_is_tried_again(
    pool: Pool, told: Api, conn: Connection, status: int
) -> None:
    told.routes["/hook"] = answering(b"", status)
    send(pool)
    state, _, recorded = outcome(conn)
    assert (state, recorded) == ("waiting", status)


def test_a_message_that_nobody_takes_fails_after_its_last_try(pool: Pool, told: Api, conn: Connection) -> None:
    told.routes["/hook"] = answering(b"", 500)
    now = only_waiting_since(conn, pool)
    pauses = []
    for _ in range(MOST_TRIES):
        assert send(pool, now=now) == 1
        pauses.append((only(conn)["next_attempt_at"] - now).total_seconds())
        now = only(conn)["next_attempt_at"]
    assert pauses == [*PAUSES, 0]
    assert outcome(conn) == ("failed", "refused_there", 500)
    assert send(pool, now=now + timedelta(days=30)) == 0
    outgoing.replay(conn, only(conn)["id"])
    told.routes["/hook"] = answering(b"")
    assert send(pool, now=None) == 1
    assert outcome(conn) == ("delivered", None, 200)


def only_waiting_since(conn: Connection, pool: Pool) -> Any:
    outgoing.pump(conn)
    row = conn.execute("SELECT waiting_since FROM outgoing").fetchone()
    assert row is not None
    return row["waiting_since"]


def test_no_message_waits_longer_than_three_days(pool: Pool, told: Api, conn: Connection) -> None:
    told.routes["/hook"] = answering(b"", 500)
    send(pool, now=only_waiting_since(conn, pool) + MOST_WAITING)
    assert outcome(conn)[0] == "failed"


def test_the_tries_fit_into_three_days_whatever_the_jitter() -> None:
    assert timedelta(seconds=sum(PAUSES) * (1 + sending.JITTER)) < MOST_WAITING


def test_jitter_spreads_what_failed_together(pool: Pool, told: Api, conn: Connection) -> None:
    told.routes["/hook"] = answering(b"", 500)
    deliver_due(pool, out_settings(), now=NOON, chance=lambda: 0.5)
    assert only(conn)["next_attempt_at"] == NOON + timedelta(seconds=PAUSES[0] * (1 + sending.JITTER / 2))


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", ["120", format_datetime(NOON + timedelta(seconds=120), usegmt=True)])
def test_who_asks_for_a_pause_gets_it_for_all_of_its_messages(
    pool: Pool, told: Api, conn: Connection, status: int, form: str
) -> None:
    told.routes["/hook"] = answers(answering(b"", status, retry_after=form), answering(b""))
    insert_task(conn, "t2")
    assert send(pool) == 1  # the second message waits as well
    assert send(pool, now=NOON + timedelta(seconds=119)) == 0
    assert send(pool, now=NOON + timedelta(seconds=120)) == 2


def test_a_pause_is_a_day_at_most(pool: Pool, told: Api, conn: Connection) -> None:
    told.routes["/hook"] = answering(b"", 503, retry_after="999999999999")
    send(pool, now=only_waiting_since(conn, pool))
    assert only(conn)["next_attempt_at"] == only_waiting_since(conn, pool) + timedelta(days=1)


@pytest.mark.parametrize("form", ["", "soon", "-5", "1.5", "٥", "Mon, 99 Foo 2030 00:00:00 GMT"])
def test_a_pause_that_is_none_is_ours(pool: Pool, told: Api, conn: Connection, form: str) -> None:
    told.routes["/hook"] = lambda request: answering(b"", 500, retry_after=form.encode().decode("latin-1"))(request)
    send(pool)
    assert only(conn)["next_attempt_at"] == NOON + timedelta(seconds=PAUSES[0])


def test_gone_disables_the_subscription(pool: Pool, told: Api, conn: Connection) -> None:
    told.routes["/hook"] = answering(b"", 410)
    insert_task(conn, "t2")
    assert send(pool) == 1
    (row,) = outgoing.listing(conn)
    assert (row["enabled"], row["disabled_why"], row["failed"], row["waiting"]) == (False, "answered 410 Gone", 1, 1)
    assert send(pool, now=NOON + timedelta(days=1)) == 0
    outgoing.enable(conn, "crm")
    told.routes["/hook"] = answering(b"")
    assert send(pool) == 1


def test_a_host_that_is_away_costs_one_try_and_holds_up_no_other(pool: Pool, told: Api, conn: Connection) -> None:
    subscribe(conn, "http://127.0.0.1:1/hook", "away")
    for n in range(5):
        insert_task(conn, f"more{n}")
    settings = out_settings(AI_WEBHOOK_OUT_SECRET_AWAY=SECRET)
    assert send(pool, settings) == 6 + 1
    assert len(told.asked) == 6
    states = [(row["state"], row["error_code"]) for row in outgoing.log(conn, "away")]
    assert states.count(("waiting", "unreached")) == 1
    assert states.count(("waiting", None)) == 4


def test_a_failure_that_is_the_messages_own_holds_up_no_other(pool: Pool, told: Api, conn: Connection) -> None:
    told.routes["/hook"] = answers(answering(b"", 500), answering(b""))
    insert_task(conn, "t2")
    assert send(pool) == 2
    assert {row["state"] for row in outgoing.log(conn, "crm")} == {"waiting", "delivered"}


def test_without_a_secret_nothing_is_sent_until_there_is_one(pool: Pool, told: Api, conn: Connection) -> None:
    send(pool, out_settings(AI_WEBHOOK_OUT_SECRET_CRM=""))
    assert (outcome(conn), told.asked) == (("waiting", "no_secret", None), [])
    send(pool, out_settings(AI_WEBHOOK_OUT_SECRET_CRM="whsec_!"), now=NOON + timedelta(minutes=1))
    assert (outcome(conn), told.asked) == (("waiting", "wrong_secret", None), [])
    send(pool, now=NOON + timedelta(hours=1))
    assert outcome(conn) == ("delivered", None, 200)


# What breaks in between


def test_who_dies_between_sending_and_recording_sends_again_under_the_same_id(
    pool: Pool, told: Api, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any, **__: Any) -> None:
        raise DatabaseUnavailable("PostgreSQL does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(outgoing, "delivered", die)
        with pytest.raises(DatabaseUnavailable):
            send(pool)
    assert outcome(conn) == ("waiting", None, None)
    assert send(pool, now=NOON + timedelta(seconds=outgoing.LEASE_SECONDS - 1)) == 0
    assert send(pool, now=NOON + timedelta(seconds=outgoing.LEASE_SECONDS)) == 1
    assert len({headers["webhook-id"] for _, _, headers, _ in told.asked}) == 1
    assert [len(told.asked), outcome(conn)[0]] == [2, "delivered"]


def test_two_senders_at_once_do_not_send_the_same(pool: Pool, told: Api, conn: Connection, database_url: str) -> None:
    both_are_at_it = threading.Barrier(2, timeout=10)

    def answer(request: BaseHTTPRequestHandler) -> None:
        both_are_at_it.wait()  # a message is in each one's hands
        answering(b"")(request)

    told.routes["/hook"] = answer
    insert_task(conn, "t2")
    outgoing.pump(conn, now=NOON)
    tries = []
    with pool_of(database_url) as other:
        senders = [threading.Thread(target=lambda p=p: tries.append(send(p))) for p in (pool, other)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join(timeout=20)
    assert sorted(tries) == [1, 1]
    assert sorted(body_of(told, place)["data"]["id"] for place in range(2)) == ["t1", "t2"]


def test_a_bug_in_one_message_holds_up_no_other(
    pool: Pool, told: Api, conn: Connection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(news: Any, api: Any) -> Any:
        raise ZeroDivisionError("what was said")

    subscribe(conn, "#general", "chat", kind="slack")
    insert_task(conn, "t2")
    monkeypatch.setattr(sending, "TELL", {**sending.TELL, "slack": broken})
    send(pool, out_settings(AI_WEBHOOK_OUT_SECRET_CHAT="xoxb-1"))
    assert {row["error_code"] for row in outgoing.log(conn, "chat")} == {"internal_error"}
    assert {row["state"] for row in outgoing.log(conn, "crm")} == {"delivered"}
    assert "ZeroDivisionError" in caplog.text
    assert "what was said" not in caplog.text


def test_a_round_is_bounded_in_number_and_time(pool: Pool, told: Api, conn: Connection) -> None:
    insert_task(conn, "t2")
    assert send(pool, seconds=-1) == 0
    assert send(pool, limit=1) == 1
    assert send(pool, limit=5) == 1


def test_of_what_is_gone_nothing_is_sent(pool: Pool, told: Api, conn: Connection) -> None:
    outgoing.pump(conn)
    conn.execute("DELETE FROM tasks")
    send(pool)
    assert (outcome(conn), told.asked) == (("skipped", "nothing_to_tell", None), [])


def test_neither_log_nor_record_tells_what_was_said_or_a_secret(
    pool: Pool, told: Api, conn: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    told.routes["/hook"] = answers(answering(b"a private answer", 500), answering(b"a private answer"))
    complete(conn)
    send(pool)
    send(pool, now=NOON + timedelta(hours=1))
    assert caplog.text.count("to=crm") > 2
    recorded = caplog.text + str(outgoing.log(conn, "crm"))
    for private in ("Look up its prices", SECRET, SECRET[6:], "a private answer", told.url, "/hook"):
        assert private not in recorded


def test_a_worker_sends_until_it_stops_whatever_breaks(
    pool: Pool, told: Api, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived, rounds = threading.Event(), []

    def hear(request: BaseHTTPRequestHandler) -> None:
        answering(b"")(request)
        arrived.set()

    def break_at_first(*given: Any) -> int:
        rounds.append(given)
        if len(rounds) < 3:
            raise (DatabaseUnavailable("away") if len(rounds) == 1 else ZeroDivisionError)
        return deliver_due(*given)

    told.routes["/hook"] = hear
    monkeypatch.setattr(processors_main, "deliver_due", break_at_first)
    settings = out_settings(AI_WEBHOOK_SWEEP_SECONDS="0.01")
    stopping = threading.Event()
    shop = Workshop(pool, cast("Any", None), settings)
    worker = threading.Thread(target=processors_main.keep_sending, args=(shop, stopping))
    worker.start()
    try:
        assert arrived.wait(10)
    finally:
        stopping.set()
        worker.join(timeout=10)
    assert not worker.is_alive()
    assert len(rounds) >= 3


# Where nobody can send us, and what a receiver cannot do


def test_a_redirect_is_not_followed(pool: Pool, told: Api, conn: Connection) -> None:
    told.routes |= {"/hook": redirecting("/other", 307), "/other": answering(b"")}
    send(pool)
    assert outcome(conn) == ("waiting", "redirected", 307)
    assert [path for _, path, _, _ in told.asked] == ["/hook"]


def test_what_a_receiver_says_is_not_even_read(pool: Pool, told: Api, conn: Connection) -> None:
    cut_off = threading.Event()

    def endless(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        try:
            while not told.released.is_set():
                request.wfile.write(b"x" * 65536)
        except OSError:
            cut_off.set()
            request.close_connection = True

    told.routes["/hook"] = endless
    send(pool)
    assert outcome(conn) == ("delivered", None, 200)
    assert cut_off.wait(10)


def test_a_receiver_that_does_not_answer_is_cut_off(
    pool: Pool, told: Api, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trickle(request: BaseHTTPRequestHandler) -> None:
        try:
            while not told.released.wait(0.02):  # a header that has no end: no single read takes long
                request.wfile.write(b"x")
                request.wfile.flush()
        except OSError:
            request.close_connection = True

    told.routes["/hook"] = trickle
    monkeypatch.setattr(sending, "TRY_SECONDS", 0.3)
    send(pool)
    assert outcome(conn) == ("waiting", "unreached", None)


def test_the_time_of_a_try_is_within_the_time_that_a_message_is_ours() -> None:
    assert sending.TRY_SECONDS * 2 < outgoing.LEASE_SECONDS


@pytest.mark.parametrize(
    "target",
    [
        "https://127.0.0.1/",
        "http://127.0.0.1/",
        "https://localhost/",
        "https://[::1]/",
        "https://10.0.0.1/",
        "https://172.16.0.1/",
        "https://192.168.1.1/",
        "https://100.64.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://100.100.100.200/",
        "https://[fd00:ec2::254]/",
        "https://0.0.0.0/",
        "https://0/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://[::]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[::ffff:a00:1]/",
        "https://[64:ff9b::a00:1]/",
        "https://[64:ff9b:1::a00:1]/",
        "https://[2002:a00:1::]/",
        "https://[fe80::1]/",
        "https://[fc00::1]/",
        "https://224.0.0.1/",
        "https://255.255.255.255/",
        "https://192.0.2.1/",
        f"http://{PUBLIC}/",
    ],
)
def test_an_address_that_is_not_public_https_is_refused(target: str) -> None:
    assert code_of(attempt(news(target), out_settings(AI_WEBHOOK_OUT_PRIVATE=""), NOON, None)) == "address_refused"


def news(target: str) -> News:
    task = {"id": "t1", "title": "Look up its prices", "status": "pending"}
    return News("msg_1", "task.pending", "t1", 1, NOON, NOON, "crm", "webhook", target, False, task=task)


def code_of(tried: Told | NotTaken | None) -> str | None:
    return tried.code if isinstance(tried, NotTaken) else None


def test_what_is_refused_waits_for_another_setting(pool: Pool, told: Api, conn: Connection) -> None:
    send(pool, out_settings(AI_WEBHOOK_OUT_PRIVATE=""))
    assert (outcome(conn), told.asked) == (("waiting", "address_refused", None), [])
    send(pool, now=NOON + timedelta(minutes=1))
    assert outcome(conn) == ("delivered", None, 200)


@pytest.mark.parametrize(
    ("addresses", "code"),
    [
        (["127.0.0.1"], "address_refused"),
        (["10.0.0.1"], "address_refused"),
        ([PUBLIC, "10.0.0.1"], "address_refused"),
        (["10.0.0.1", PUBLIC], "address_refused"),
        (["169.254.169.254"], "address_refused"),
        (["::1"], "address_refused"),
        (["::ffff:127.0.0.1"], "address_refused"),
        (["fe80::1%eth0"], "address_refused"),
        ([], "unreached"),
    ],
)
def test_a_name_that_leads_into_a_private_network_is_refused(addresses: list[str], code: str) -> None:
    settings = out_settings(AI_WEBHOOK_OUT_PRIVATE="")
    tried = attempt(news("https://hooks.example/"), settings, NOON, lambda host, port, seconds: addresses)
    assert code_of(tried) == code


def test_a_name_is_looked_up_once_for_a_try(pool: Pool, told: Api, conn: Connection) -> None:
    """Who answers with another address the second time (DNS rebinding) is not asked a second time."""
    asked = []

    def look_up(host: str, port: int, seconds: float) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    conn.execute("UPDATE subscriptions SET target = %s", [f"http://hooks.internal:{told.port}/hook"])
    send(pool, look_up=look_up)
    assert asked == ["hooks.internal"]
    assert outcome(conn)[0] == "delivered"
    assert told.asked[0][2]["host"] == f"hooks.internal:{told.port}"


@pytest.mark.parametrize(
    ("allowed", "reached"),
    [
        ("127.0.0.1", True),
        ("127.0.0.0/8", True),
        ("hooks.internal", True),
        ("10.0.0.0/8, HOOKS.internal", True),
        ("10.0.0.0/8", False),
        ("internal", False),
        ("::1/128", False),
        ("", False),
    ],
)
def test_the_operator_says_which_private_places_may_be_reached(api: Api, allowed: str, reached: bool) -> None:
    api.routes["/hook"] = answering(b"")
    target = news(f"http://hooks.internal:{api.port}/hook")
    tried = attempt(target, out_settings(AI_WEBHOOK_OUT_PRIVATE=allowed), NOON, lambda *_: ["127.0.0.1"])
    assert code_of(tried) == (None if reached else "address_refused")
    assert bool(api.asked) == reached
