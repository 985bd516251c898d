"""RQ's worker as ours: it runs the jobs on a list and no others, unpickles nothing, and stops in time."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, ClassVar

import redis
import rq.serializers
from redis.exceptions import RedisError
from rq.exceptions import StopRequested
from rq.job import Job
from rq.queue import Queue
from rq.timeouts import BaseTimeoutException
from rq.worker import SimpleWorker

from domain.delivery import QUEUE_NAME
from domain.log_lines import places

# RQ's default would unpickle whatever lies in Redis; nothing here, and nothing RQ calls by default, may.
rq.serializers.PickleSerializer = rq.serializers.JSONSerializer

log = logging.getLogger("ai_webhook.processors")

JobTimeout = BaseTimeoutException
OutOfTime = SystemExit  # by which RQ ends the job in hand of a worker that was told to stop, and told again

# Of what may lie in Redis as a job, what ours have: no callbacks, webhooks, retries, repeats, dependencies or meta.
JOB_FIELDS = {"data", "description", "origin", "status", "timeout", "result_ttl", "failure_ttl", "exc_info"}
JOB_FIELDS |= {"created_at", "enqueued_at", "started_at", "ended_at", "last_heartbeat", "worker_name"}


class ListedJob(Job):  # type: ignore[misc]
    """A job that runs nothing but the functions on the list. JSON is no sandbox: RQ would import and call any name,
    call back others by name, and post what came of it to any address."""

    functions: ClassVar[Mapping[str, Callable[..., Any]]] = {}

    def restore(self, raw_data: Mapping[Any, Any]) -> None:
        names = {name: name.decode("ascii", "replace") if isinstance(name, bytes) else name for name in raw_data}
        super().restore({name: value for name, value in raw_data.items() if names[name] in JOB_FIELDS})

    @property
    def func(self) -> Callable[..., Any]:
        name = self.func_name
        if not isinstance(name, str) or name not in self.functions:
            raise PermissionError("This job names a function that is not on the list of jobs.")
        return self.functions[name]


class QueueWorker(SimpleWorker):  # type: ignore[misc]
    """A worker that may end and begin again, under the same name, while Redis is away or full. Told to stop, it ends
    the job in hand, but for no longer than `stop_seconds`: then it lets go of it as when it is told a second time."""

    stop_seconds: float
    told: Callable[[], None]
    at_work = False
    last_moment: threading.Timer | None = None

    def execute_job(self, job: Job, queue: Queue) -> None:
        self.at_work = True
        try:
            super().execute_job(job, queue)
        finally:
            self.at_work = False
            if self.last_moment is not None:
                self.last_moment.cancel()

    def handle_warm_shutdown_request(self) -> None:
        self.told()
        if self.at_work:
            again = (os.getpid(), signal.SIGTERM)  # RQ hears it the second time, in the thread that works
            self.last_moment = threading.Timer(self.stop_seconds, os.kill, again)
            self.last_moment.daemon = True
            self.last_moment.start()

    def request_force_stop(self, signum: int, frame: Any) -> None:
        try:
            super().request_force_stop(signum, frame)
        except OutOfTime:
            self.told()
            raise

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        if exc_info[0] is not OutOfTime:
            log.error("job=%s failed\n%s", job.id, "\n".join(places(exc_info[1])))

    def _shutdown(self) -> None:
        # RQ would ask Redis whether it is at work, in a signal handler, and fail when Redis is away.
        if not self.at_work:
            raise StopRequested
        self._stop_requested = True

    def register_birth(self) -> None:
        # RQ refuses a name that is in use, but this one is ours alone: whoever had it could not say that it ended.
        self.connection.delete(self.key)
        super().register_birth()

    def handle_job_failure(self, job: Job, queue: Queue, *more: Any, **named: Any) -> None:
        # RQ would keep the message of the error in Redis, which may quote what was said.
        named["exc_string"] = "\n".join(places(sys.exception())) or "The worker ended."
        super().handle_job_failure(job, queue, *more, **named)

    def teardown(self) -> None:
        with suppress(RedisError):
            self.register_death()
        with suppress(RedisError):
            self.unsubscribe()


def run_worker(
    client: "redis.Redis",
    name: str,
    functions: Mapping[str, Callable[..., Any]],
    *,
    burst: bool = False,
    stop_seconds: float = 6.0,
    told: Callable[[], None] = lambda: None,
) -> bool:
    """Works on the one queue until told to stop (SIGTERM or SIGINT), and answers whether it was told to; `told` is
    called at once, in the signal handler, and again when there is no more time. Ends, perhaps with RedisFailure, also
    when Redis does not take what RQ writes; then it may be called again.

    One queue per process: only then does RQ move a job instead of popping it, and a kill loses nothing.
    """
    ListedJob.functions = functions
    worker = QueueWorker(
        [QUEUE_NAME],
        name=name,
        connection=client,
        job_class=ListedJob,
        serializer="json",
        worker_ttl=30,
        job_monitoring_interval=5,
        maintenance_interval=15,
        log_job_description=False,
    )
    worker.stop_seconds, worker.told = stop_seconds, told
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        worker.work(burst=burst, logging_level="WARNING")
    except (StopRequested, OutOfTime):
        return True
    finally:
        for number, handler in before.items():  # RQ leaves its own behind
            signal.signal(number, handler)
    return bool(worker._stop_requested) or worker._shutdown_requested_date is not None
