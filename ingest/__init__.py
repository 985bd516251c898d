"""The thin endpoint: verify, identify, enqueue. Knows neither PostgreSQL nor what a worker does."""
