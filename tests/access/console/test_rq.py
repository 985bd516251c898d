"""rq-dashboard behind the console's login: for admins, changed by its own buttons alone, and no transcript in it."""

import subprocess
import sys
from collections.abc import Callable, Iterator

import httpx2
import pytest
import redis
from playwright.sync_api import expect
from rq.job import Job, JobStatus
from rq.queue import Queue

from domain.delivery import QUEUE_NAME
from ops.embedded import Servers
from processors.rq_worker import run_worker
from tests.access.console.conftest import Looks, Visitor
from tests.conftest import ROOT

Come = Callable[..., Visitor]
VIEWS = ["/rq/", "/rq/0/view/jobs", "/rq/0/view/workers"]


@pytest.fixture
def queue(servers: Servers) -> Iterator[Queue]:
    with redis.Redis.from_url(servers.redis_url) as client:
        client.flushall()
        yield Queue(QUEUE_NAME, connection=client, serializer="json")
        client.flushall()


@pytest.fixture
def failed(queue: Queue) -> Job:
    def fail() -> None:
        raise ValueError("<img src=x onerror='window.hacked = 1'>")

    job = queue.enqueue("fail", description="<img src=x onerror='window.hacked = 1'>fail()")
    run_worker(queue.connection, "alice-1", {"fail": fail}, burst=True)
    return job


def status_of(job: Job) -> JobStatus:
    return Job.fetch(job.id, connection=job.connection, serializer="json").get_status()


def same_origin(visitor: Visitor) -> dict[str, str]:
    return {"origin": str(visitor.client.base_url).rstrip("/")}


def test_only_admins_see_it(visitor: Come, queue: Queue) -> None:
    for path in (*VIEWS, "/rq/", "/rq/static/css/main.css", "/rq/0/data/queues.json", "/rq/nowhere"):
        answer = visitor().get(path)
        assert (answer.status_code, answer.headers["location"].startswith("/login?next=%2Frq")) == (303, True)
        for name in ("alice", "bob"):
            assert visitor(name).get(path).status_code == 403
    assert [visitor("carol").get(path).status_code for path in VIEWS] == [200] * 3
    assert visitor("carol").get("/rq/static/css/main.css").status_code == 200


def test_an_admin_looks_and_the_policy_holds(screen: Looks, failed: Job) -> None:
    page = screen.as_("carol", "/rq/")
    expect(page.locator("table#queues tbody")).to_contain_text(QUEUE_NAME)
    page.goto(f"/rq/0/view/jobs/{QUEUE_NAME}/failed/8/asc/1")
    expect(page.locator("table#jobs tbody")).to_contain_text("fail()")
    page.goto("/rq/0/view/workers")
    expect(page.locator("table#workers tbody")).to_contain_text("No workers")


def test_what_a_job_holds_does_not_run(desktop: Looks, failed: Job) -> None:
    """Its pages put what a job says into them as HTML."""
    page = desktop.as_("carol", f"/rq/0/view/job/{failed.id}")
    expect(page.locator("#job-data")).to_contain_text("fail()")
    assert page.evaluate("window.hacked") is None
    assert any("Content Security Policy" in told for told in desktop.complaints)
    desktop.complaints.clear()


def test_a_button_requeues_a_failed_job(desktop: Looks, failed: Job) -> None:
    failed.description = "fail()"
    failed.save()
    page = desktop.as_("carol", f"/rq/0/view/jobs/{QUEUE_NAME}/failed/8/asc/1")
    page.get_by_text("Requeue All").click()
    with page.expect_response(lambda response: "/requeue/" in response.url):
        page.locator("#confirmation-modal-yes").click()
    assert status_of(failed) is JobStatus.QUEUED


def test_nothing_is_changed_but_from_a_page_of_its_own(visitor: Come, failed: Job) -> None:
    path = f"/rq/job/{failed.id}/requeue"

    def answers(name: str | None, headers: dict[str, str]) -> httpx2.Response:
        return visitor(name).post(path, {}, headers=headers)

    foreign = [
        {},
        {"origin": "https://charlie.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://127.0.0.1.charlie.example", "sec-fetch-site": "same-origin"},
    ]
    assert [answers("carol", headers).status_code for headers in foreign] == [403] * len(foreign)
    own = same_origin(visitor())
    assert [answers(name, own).status_code for name in (None, "alice", "bob")] == [401, 403, 403]
    assert visitor("carol").get(path).status_code == 405
    assert status_of(failed) is JobStatus.FAILED
    assert answers("carol", own).status_code == 200
    assert status_of(failed) is JobStatus.QUEUED


def test_what_was_said_is_on_none_of_its_pages(visitor: Come, queue: Queue, address: str) -> None:
    said = "The cat is called Henrietta."
    headers = {"authorization": "Bearer alices-key", "content-type": "text/plain"}
    assert httpx2.post(f"{address}/webhook/generic", content=said.encode(), headers=headers).status_code == 200
    job = queue.job_ids[0]
    carol = visitor("carol")
    paths = [
        *VIEWS,
        f"/rq/0/data/jobs/{QUEUE_NAME}/queued/8/asc/1.json",
        f"/rq/0/view/job/{job}",
        f"/rq/0/data/job/{job}.json",
    ]
    pages = [carol.get(path) for path in paths]
    assert [page.status_code for page in pages] == [200] * len(pages)
    assert job in pages[3].text
    assert not [page for page in pages if "Henrietta" in page.text]


def test_a_start_does_not_wait_for_it() -> None:
    script = "import sys, ops.web; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "access.console.queues" in loaded.split()
    assert {"flask", "rq_dashboard", "access.rq_dashboard"} & set(loaded.split()) == set()
