"""All of the way, on servers of somebody's choice: posted, worked on, waited for, completed, looked at, found."""

from concurrent.futures import ThreadPoolExecutor

import httpx2

from tests.journeys.stack import Up

TALK = "Mara: I've decided we use Postgres.\nMara: Add an action item: write the schema of the garden.\n"
PASSWORD = "walk the dog twice"


def walk(up: Up) -> None:
    """Asserts that a talk becomes a decision and a task that an agent waits for and completes, that a search finds the
    one, and that the console shows the other."""
    with up.client() as client, ThreadPoolExecutor(1) as waiting:
        coming = waiting.submit(client.claim_task, "claude_code", "walker", wait_seconds=30)
        url = f"{up.url}/webhook/generic?session=garden"
        answer = httpx2.post(url, content=TALK, headers=up.headers("text/plain"), timeout=20)
        assert answer.json()["status"] == "accepted"
        (claim,) = coming.result()
        id, token = claim["task_id"], claim["claim_token"]
        client.call("start_task", id, claim_token=token)
        client.call("complete_task", id, claim_token=token, output_data={"tables": 3})
        assert client.get_task(id)["status"] == "completed"
        found = client.call("search", q="Which database did we decide on?")["items"]
        assert any("Postgres" in str(hit) for hit in found)
        link = client.call("create_login_link", role="admin")["path"]
    with httpx2.Client(base_url=up.url, follow_redirects=True, timeout=20) as person:
        person.post(link, data={"name": "mara", "password": PASSWORD}, headers={"origin": up.url})
        assert "write the schema of the garden" in person.get(f"/tasks/{id}").text.lower()
        assert person.get("/rq/").status_code == 200
