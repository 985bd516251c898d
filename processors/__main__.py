"""`python -m processors`: one worker. Needs DATABASE_URL (or PG*) and REDIS_URL; run as many as there are cores."""

import gc
import logging
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from functools import partial
from types import FrameType

from domain.delivery import BATCH_JOB
from domain.errors import AIWebhookError, DatabaseUnavailable, SettingsError
from domain.settings import Settings
from processors.extracting.llm import check_installed
from processors.extracting.model import load
from processors.jobs import Workshop, process_batch, sweep
from processors.queueing import ALIVE_SECONDS, DeliveryQueue, RedisFailure, connect, run_worker
from store.database import borrowed, open_pool
from store.embedding import embedder, prepare

log = logging.getLogger("ai_webhook.processors")

# A batch is many thousands of objects, hardly one of them in a cycle; Python's own threshold is 700.
CYCLES_AFTER = 50_000


def keep_house(shop: Workshop, stopping: threading.Event) -> None:
    """Says that this worker is alive, and sweeps when it is its turn, until it stops."""
    while not stopping.is_set():
        try:
            shop.queue.say_alive()
            if shop.queue.may_sweep(shop.settings.sweep_seconds):
                sweep(shop)
        except (RedisFailure, DatabaseUnavailable) as error:
            log.warning("sweep put off: %s", type(error).__name__)
        except Exception as error:  # noqa: BLE001 - the house is kept as long as the worker lives
            log.error("sweep failed: %s", type(error).__name__)
        stopping.wait(min(shop.settings.sweep_seconds, ALIVE_SECONDS / 3))


def open_workshop(settings: Settings, name: str) -> Workshop:
    if settings.redis_url is None or (settings.database_url is None and settings.pg_host is None):
        raise SettingsError(
            "A worker needs REDIS_URL and DATABASE_URL (or PGHOST and the other PG* variables).",
            hint="`ai-webhook up` starts everything that is missing.",
        )
    check_installed(settings)
    if "model" in settings.extractor_names():
        load()  # now rather than when the first talk waits for it
    queue = DeliveryQueue(
        connect(settings.redis_url.get_secret_value()),
        worker=name,
        job_timeout_seconds=settings.job_timeout_seconds,
        seen_seconds=settings.seen_seconds,
    )
    # The job, and the thread that keeps house: no more than one connection each.
    shop = Workshop(open_pool(settings.conninfo(), "worker", 2), queue, settings, embedder(settings))
    if shop.embedder is not None:
        with borrowed(shop.pool) as conn:
            prepare(conn)
    return shop


def works_until_told(shop: Workshop, name: str) -> bool:
    """Works, and answers whether it ended because it was told to; a Redis that is away or full ends it, too."""
    try:
        return run_worker(shop.queue.client, name, {BATCH_JOB: partial(process_batch, shop)})
    except RedisFailure as error:
        log.warning("work put off: %s", type(error).__name__)
        return False


def work(settings: Settings) -> None:
    name = f"{socket.gethostname()}-{os.getpid()}"
    shop = open_workshop(settings, name)
    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()

    # Until RQ's own handlers are in place, and between two of its workers.
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    house = threading.Thread(target=keep_house, args=(shop, stopping), name="house", daemon=True)
    house.start()
    gc.freeze()  # what is there by now stays
    gc.set_threshold(CYCLES_AFTER, 10, 10)
    log.info("worker %s is ready", name)
    while not stopping.is_set():
        if works_until_told(shop, name) or stopping.wait(1):
            break
    stopping.set()
    house.join(timeout=5)
    with suppress(RedisFailure):
        shop.queue.say_gone()
    shop.pool.close()


def main() -> int:
    try:
        settings = Settings.from_env()
        logging.basicConfig(level=settings.log_level, format="%(message)s", stream=sys.stdout)
        work(settings)
    except AIWebhookError as error:
        print(f"{error.message} {error.hint}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
