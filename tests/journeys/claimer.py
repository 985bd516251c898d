"""An agent for the stress test: claims and completes tasks until none is left, and says what it completed."""

import os
import sys
import time

from domain.errors import TaskError
from store import tasks
from store.database import connect


def main(name: str) -> None:
    with connect(os.environ["CLAIMER_DATABASE_URL"], name) as conn:
        while True:
            claims = tasks.claim(conn, "claude_code", name, lease_seconds=2, max_tasks=5)
            for claim in claims:
                try:
                    tasks.start(conn, claim["task_id"], claim["claim_token"], process_id=os.getpid())
                    tasks.complete(conn, claim["task_id"], claim["claim_token"], output_data={"by": name})
                except TaskError as error:  # so slow that the lease lapsed: somebody else has it
                    print("lost", claim["task_id"], error.code, flush=True)
                    continue
                print("completed", claim["task_id"], claim["claim_token"], flush=True)
            if not claims:
                left = conn.execute("SELECT 1 AS one FROM tasks WHERE status <> 'completed' LIMIT 1").fetchone()
                if left is None:
                    return
                time.sleep(0.1)  # what is left is held by another, dead or alive


main(sys.argv[1])
