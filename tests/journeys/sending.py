"""Senders who post until they are told to stop, each delivery again and again until it is accepted."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Self


class Sending:
    """What they were told; how each of them sends (`send`) is for those who inherit this."""

    more = 12  # deliveries before, between and after what happens to the servers
    more_seconds = 60.0
    refused_seconds = 30.0

    def __init__(self) -> None:
        self.accepted: list[str] = []
        self.refusals: Counter[Any] = Counter()
        self.counted = threading.Condition()
        self.stopping = threading.Event()

    def send(self, sender: int) -> None:
        raise NotImplementedError

    def accept(self, what: str) -> None:
        with self.counted:
            self.accepted.append(what)
            self.counted.notify_all()

    def refuse(self, how: Any) -> None:
        with self.counted:
            self.refusals[how] += 1
            self.counted.notify_all()

    def wait_for_more(self, count: int | None = None, seconds: float | None = None) -> None:
        """Until so many more deliveries are accepted."""
        with self.counted:
            wanted = len(self.accepted) + (count or self.more)
            has_come = self.counted.wait_for(lambda: len(self.accepted) >= wanted, seconds or self.more_seconds)
            assert has_come, self.refusals

    def wait_for_refusals(self, count: int) -> None:
        with self.counted:
            wanted = self.refusals.total() + count
            has_come = self.counted.wait_for(lambda: self.refusals.total() >= wanted, self.refused_seconds)
            assert has_come, self.refusals

    @contextmanager
    def by(self, senders: int) -> Iterator[Self]:
        """So many send while the block runs; every delivery has been accepted when it ends."""
        with ThreadPoolExecutor(senders) as threads:
            running = [threads.submit(self.send, sender) for sender in range(senders)]
            try:
                self.wait_for_more()
                yield self
                self.wait_for_more()
            finally:
                self.stopping.set()
        for sender in running:
            sender.result()
