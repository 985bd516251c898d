"""`python -m processors`: one worker. Needs DATABASE_URL (or PG*) and REDIS_URL; run as many as there are cores."""

import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from types import FrameType

from domain.certificates import certificate_trouble
from domain.delivery import BATCH_JOB
from domain.errors import AIWebhookError, DatabaseUnavailable, SettingsError
from domain.log_lines import log_to_stdout
from domain.settings import Settings
from domain.tracing import set_up_tracing
from processors.commanding import answer_awaited
from processors.extracting.llm import check_installed
from processors.extracting.model import load
from processors.jobs import Workshop, process_batch, sweep
from processors.outgoing import deliver_due
from processors.queueing import ALIVE_SECONDS, DeliveryQueue, RedisFailure, connect
from processors.rq_worker import run_worker
from store import outgoing
from store.database import borrowed, open_pool
from store.embedding import embedder, prepare

log = logging.getLogger("ai_webhook.processors")

# A batch is many thousands of objects, hardly one of them in a cycle; Python's own threshold is 700.
CYCLES_AFTER = 50_000
ANSWER_SECONDS = 0.2  # between two looks whether a task has ended that somebody waits for
SEND_SECONDS = 2.0  # between two looks for what is to go out


@dataclass
class End:
    """How a worker ends: told to, it begins nothing new; when its job is done or given back, it is over."""

    seconds: float
    told: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    last_moment: float = 0.0

    def tell(self) -> None:
        """To stop; told again, at once."""
        self.last_moment = time.monotonic() + (0 if self.told.is_set() else self.seconds)
        self.told.set()

    def seconds_left(self) -> float:
        return max(1.0, self.last_moment - time.monotonic())


def keep_house(shop: Workshop, end: End) -> None:
    """Says that this worker is alive as long as it is, and sweeps when it is its turn, until it is told to stop."""
    while not end.over.is_set():
        try:
            shop.queue.say_alive()
            if not end.told.is_set() and shop.queue.may_sweep(shop.settings.sweep_seconds):
                sweep(shop)
        except (RedisFailure, DatabaseUnavailable) as error:
            log.warning("sweep put off: %s", type(error).__name__)
        except Exception as error:  # noqa: BLE001 - the house is kept as long as the worker lives
            log.error("sweep failed: %s", type(error).__name__)
        end.over.wait(min(shop.settings.sweep_seconds, ALIVE_SECONDS / 3))


def keep_sending(shop: Workshop, stopping: threading.Event) -> None:
    """Sends what waits to go out, until the worker stops; in a thread of its own, since others may be slow."""
    while not stopping.is_set():
        tries = 0
        try:
            tries = deliver_due(shop.pool, shop.settings)
            with borrowed(shop.pool) as conn:
                outgoing.forget(conn)
        except DatabaseUnavailable as error:
            log.warning("sending put off: %s", type(error).__name__)
        except Exception as error:  # noqa: BLE001 - what goes out goes on as long as the worker lives
            log.error("sending failed: %s", type(error).__name__)
        stopping.wait(0 if tries else min(shop.settings.sweep_seconds, SEND_SECONDS))


def keep_answering(shop: Workshop, stopping: threading.Event) -> None:
    """Tells those who wait for a task how it ended, until the worker stops."""
    while not stopping.is_set():
        try:
            answer_awaited(shop.pool, shop.queue)
        except (RedisFailure, DatabaseUnavailable) as error:
            log.warning("answers put off: %s", type(error).__name__)
        except Exception as error:  # noqa: BLE001 - as above
            log.error("answering failed: %s", type(error).__name__)
        stopping.wait(ANSWER_SECONDS)


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
        keys=settings.keys(),
    )
    # The job, the threads that keep house, send and answer: no more than one connection each.
    shop = Workshop(
        open_pool(settings.conninfo(), "worker", settings.worker_pool_size), queue, settings, embedder(settings)
    )
    if shop.embedder is not None:
        with borrowed(shop.pool) as conn:
            prepare(conn)
    return shop


def works_until_told(shop: Workshop, name: str, end: End) -> bool:
    """Works, and answers whether it ended because it was told to; a Redis that is away or full ends it, too."""
    try:
        jobs = {BATCH_JOB: partial(process_batch, shop)}
        return run_worker(shop.queue.client, name, jobs, stop_seconds=end.seconds, told=end.tell)
    except RedisFailure as error:
        trouble = certificate_trouble(error)
        log.warning("work put off: %s", f"Redis: {'; '.join(trouble)}" if trouble else type(error).__name__)
        return False


def work(settings: Settings) -> None:
    name = f"{socket.gethostname()}-{os.getpid()}"
    shop = open_workshop(settings, name)
    end = End(settings.stop_seconds)

    def stop(number: int, frame: FrameType | None) -> None:
        end.tell()

    # Until RQ's own handlers are in place, and between two of its workers.
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    house = threading.Thread(target=keep_house, args=(shop, end), name="house", daemon=True)
    sending = threading.Thread(target=keep_sending, args=(shop, end.told), name="sending", daemon=True)
    house.start()
    sending.start()
    if settings.task_commands:
        threading.Thread(target=keep_answering, args=(shop, end.over), name="answering", daemon=True).start()
    gc.freeze()  # what is there by now stays
    gc.set_threshold(CYCLES_AFTER, 10, 10)
    log.info("worker %s is ready", name)
    while not end.told.is_set():
        if works_until_told(shop, name, end) or end.told.wait(1):
            break
    end.told.set()
    sending.join(end.seconds_left())  # what it leaves in the middle, another sends again
    end.over.set()
    house.join(end.seconds_left())
    with suppress(RedisFailure):
        shop.queue.say_gone()
    shop.pool.close()


def main() -> int:
    try:
        settings = Settings.from_env()
        log_to_stdout(settings)
        set_up_tracing(settings, "worker")
        work(settings)
    except AIWebhookError as error:
        print(f"{error.message} {error.hint}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
