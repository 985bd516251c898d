"""Runs and keeps the service: the `ai-webhook` command, embedded servers, up, demo, doctor. Wires the packages."""
