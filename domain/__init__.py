"""What the service is about: nouns, states, errors and settings. Knows no HTTP, no SQL and no queue."""
