"""What /metrics tells of the database and of those who read: times of searches and claims, the pool, the listeners."""

import logging
from collections.abc import Iterator

from prometheus_client import Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from access.api import Api
from access.timing import CLAIM_SECONDS, SEARCH_SECONDS
from domain.errors import AIWebhookError
from store import watching
from store.database import Pool

log = logging.getLogger("ai_webhook.access")

FIGURES = {
    "tasks_completed_last_hour": "Tasks that were completed in the last hour.",
    "task_oldest_claimable_seconds": "For how long the oldest task that could be claimed has been there.",
    "leases_overdue": "Leases that are over and were not noticed yet.",
    "leases_lapsed_last_5_minutes": "Leases that lapsed in the last five minutes.",
    "deliveries_unfinished": "Deliveries that PostgreSQL has and that are not processed.",
    "deliveries_failed": "Deliveries that failed and were neither replayed nor forgotten.",
    "delivery_oldest_unfinished_seconds": "For how long the oldest unfinished delivery has been there.",
    "outgoing_failed": "Messages to subscriptions that failed.",
    "agents_offline": "Agents that are offline.",
}
POOL = {
    "pool_size": ("pool_connections", "Database connections of this process."),
    "pool_available": ("pool_connections_idle", "Of these, those that nobody uses."),
    "pool_max": ("pool_connections_limit", "Database connections that this process may have."),
    "requests_waiting": ("pool_requests_waiting", "Requests that wait for a database connection."),
}


class DatabaseCollector(Collector):
    """Asks PostgreSQL at each scrape; `ai_webhook_database_up 0` and the pool alone when it does not answer."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    def collect(self) -> Iterator[Metric]:
        stats = self.pool.get_stats()
        for name, (ours, meaning) in POOL.items():
            yield GaugeMetricFamily(f"ai_webhook_{ours}", meaning, stats.get(name, 0))
        try:
            tasks, figures = watching.figures(self.pool)
        except AIWebhookError as error:
            log.warning("the figures of the database are missing: %s", error.message)
            yield GaugeMetricFamily("ai_webhook_database_up", "1 when PostgreSQL answers.", 0)
            return
        yield GaugeMetricFamily("ai_webhook_database_up", "1 when PostgreSQL answers.", 1)
        states = GaugeMetricFamily(
            "ai_webhook_tasks", f"Tasks by state, counted up to {watching.MOST}.", labels=["state"]
        )
        for state, count in tasks.items():
            states.add_metric([state], count)
        yield states
        for name, meaning in FIGURES.items():
            yield GaugeMetricFamily(f"ai_webhook_{name}", meaning, figures[name])


class ListenerCollector(Collector):
    """Those who keep a connection open to this process."""

    def __init__(self, api: Api) -> None:
        self.api = api

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "ai_webhook_event_streams", "Connections that listen to events.", len(self.api.stream.listeners)
        )
        yield GaugeMetricFamily("ai_webhook_claims_waiting", "Claims that wait for a task.", self.api.claims.count)


def collectors(pool: Pool, api: Api) -> list[Collector | Histogram]:
    return [SEARCH_SECONDS, CLAIM_SECONDS, DatabaseCollector(pool), ListenerCollector(api)]
