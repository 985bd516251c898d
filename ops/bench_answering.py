"""`python -m ops.bench_answering`: the endpoint without its queue. It reads, verifies, identifies and answers, which is
what any endpoint has to do; what ours takes beyond that is the cost of keeping the delivery."""

import sys

from domain.delivery import Delivery
from domain.settings import Settings
from ingest.app import create_app
from ingest.enqueueing import Outcome
from ingest.serving import run_server


async def forget(delivery: Delivery) -> Outcome:
    return "accepted"


async def ready() -> dict[str, bool]:
    return {}


def main() -> int:
    settings = Settings.from_env()
    run_server(create_app(settings, forget, ready), settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
