"""How long searches and claims take in this process, for /metrics."""

from prometheus_client import Histogram

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
SEARCH_SECONDS = Histogram("ai_webhook_search_seconds", "Searches, in the database.", buckets=BUCKETS, registry=None)
CLAIM_SECONDS = Histogram(
    "ai_webhook_claim_seconds", "Claims, of one or of many together, in the database.", buckets=BUCKETS, registry=None
)
