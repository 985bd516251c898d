"""What the benchmarks need beside our own code; the service does not."""
