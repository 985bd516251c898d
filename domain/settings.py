"""Every setting, its default and its unit: read once, frozen, handed on.

Values come from the environment, then from `.env`. A secret may also come from a file: `WEBHOOK_API_KEY_FILE`
names one that holds what `WEBHOOK_API_KEY` would, as container platforms mount it.
"""

import os
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from domain.errors import SettingsError
from domain.sealing import LEAST_KEY_CHARS, Keys
from domain.session import LANGUAGES, SIMPLE, language_of

SOURCE_SECRET_PREFIX = "WEBHOOK_SECRET_"  # noqa: S105 - the name of a setting
FETCH_TOKEN_PREFIX = "FETCH_TOKEN_"  # noqa: S105
FETCH_URL_PREFIX = "FETCH_URL_"
OUT_SECRET_PREFIX = "AI_WEBHOOK_OUT_SECRET_"  # noqa: S105
OUT_URL_PREFIX = "AI_WEBHOOK_OUT_URL_"
# What no program of an agent is given: our own settings, and those of the servers.
OWN_NAMES = (
    "AI_WEBHOOK_",
    "WEBHOOK_",
    FETCH_TOKEN_PREFIX,
    FETCH_URL_PREFIX,
    "PG",
    "POSTGRES_",
    "REDIS_",
    "DATABASE_",
    "RQ_",
)


def setting(name: str, default: Any, description: str, **limits: Any) -> Any:
    return Field(default=default, alias=name, description=description, **limits)


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    database_url: SecretStr | None = setting(
        "DATABASE_URL", None, "PostgreSQL 15 to 18; unset: the PG* variables, else an embedded server"
    )
    migrate_url: SecretStr | None = setting(
        "AI_WEBHOOK_MIGRATE_URL",
        None,
        "the same database as its owner, for migrate, backup, restore, reset, role and reader; unset: DATABASE_URL",
    )
    pg_host: str | None = setting("PGHOST", None, "with PGPORT, PGUSER, PGPASSWORD, PGDATABASE: as psql reads them")
    read_database_url: SecretStr | None = setting(
        "AI_WEBHOOK_READ_DATABASE_URL",
        None,
        "a streaming replica, for what search, lists and the console read; unset: all is read where it is written",
    )
    read_lag_seconds: float = setting(
        "AI_WEBHOOK_READ_LAG_SECONDS", 5.0, "seconds that the replica may be behind; past it, it is not asked", ge=1
    )
    redis_url: SecretStr | None = setting(
        "REDIS_URL", None, "Redis 6.2 or Valkey 7.2 and newer; unset: an embedded server"
    )
    redis_replicas: int = setting(
        "AI_WEBHOOK_REDIS_REPLICAS",
        0,
        "replicas of Redis that have to have a delivery, too, before it is accepted",
        ge=0,
        le=10,
    )
    volatile_redis: bool = setting(
        "AI_WEBHOOK_VOLATILE_REDIS", False, "true: `doctor` only warns of a Redis that may lose what it accepted"
    )
    webhook_api_key: SecretStr | None = setting(
        "WEBHOOK_API_KEY", None, "the key that senders bring; several after commas while you rotate"
    )
    source_secrets: Mapping[str, SecretStr] = Field(
        default_factory=dict,
        description="WEBHOOK_SECRET_<SOURCE>: the signing secret of a source; several after commas while you rotate",
    )
    fetch_tokens: Mapping[str, SecretStr] = Field(
        default_factory=dict,
        description="FETCH_TOKEN_<SOURCE>: the token by which transcripts are fetched that a source only announces",
    )
    fetch_urls: Mapping[str, str] = Field(
        default_factory=dict, description="FETCH_URL_<SOURCE>: where the API of a source is, if not where it usually is"
    )
    max_fetch_bytes: int = setting(
        "AI_WEBHOOK_MAX_FETCH_BYTES", 50 * 1024 * 1024, "bytes; a longer answer of an API is refused", ge=1024
    )
    out_secrets: Mapping[str, SecretStr] = Field(
        default_factory=dict,
        description="AI_WEBHOOK_OUT_SECRET_<NAME>: what a subscription signs with, or its token; several after commas",
    )
    out_urls: Mapping[str, str] = Field(
        default_factory=dict,
        description="AI_WEBHOOK_OUT_URL_<KIND>: where github, slack or linear has its API, if not where it usually is",
    )
    out_private: str | None = setting(
        "AI_WEBHOOK_OUT_PRIVATE",
        None,
        "hosts and networks after commas that subscriptions may reach although they are private; unset: none",
    )
    queue_key: SecretStr | None = setting(
        "AI_WEBHOOK_QUEUE_KEY",
        None,
        "signs deliveries in Redis, the same for endpoint and workers; several after commas while you rotate",
    )
    encryption_key: SecretStr | None = setting(
        "AI_WEBHOOK_ENCRYPTION_KEY",
        None,
        "seals the bytes of deliveries in Redis and PostgreSQL; several after commas while you rotate; unset: none",
    )
    url: str | None = setting(
        "AI_WEBHOOK_URL", None, "the service the command talks to; unset: the one that is up here"
    )
    token: SecretStr | None = setting("AI_WEBHOOK_TOKEN", None, "bearer token for /api and /mcp that may do everything")
    data_dir: Path | None = setting(
        "AI_WEBHOOK_DATA", None, "folder of the embedded servers; unset: the user's data folder"
    )
    server_user: str = setting(
        "AI_WEBHOOK_SERVER_USER",
        "nobody",
        "as root: the user the embedded servers run as (PostgreSQL refuses root)",
    )
    postgres_bin: Path | None = setting(
        "AI_WEBHOOK_POSTGRES_BIN", None, "folder with initdb and postgres to use instead of the packaged ones"
    )
    host: str = setting("AI_WEBHOOK_HOST", "127.0.0.1", "address the web process listens on")
    port: int = setting("AI_WEBHOOK_PORT", 8000, "port the web process listens on", ge=0, le=65535)
    workers: int = setting("AI_WEBHOOK_WORKERS", 2, "worker processes that `up` starts", ge=1, le=64)
    listed: str | None = setting(
        "WEBHOOK_SOURCES", None, "sources after commas; the service does not start while one of them has no secret"
    )
    public_url: str | None = setting(
        "AI_WEBHOOK_PUBLIC_URL",
        None,
        "address by which senders reach the service, which Twilio signs; unset: as called",
        pattern=r"^https?://[^/?#]+[^?#]*$",
    )
    body_seconds: float = setting(
        "AI_WEBHOOK_BODY_SECONDS", 20.0, "seconds a sender has for its body; a slower one is answered 408", gt=0
    )
    sync_seconds: float = setting(
        "AI_WEBHOOK_SYNC_SECONDS", 10.0, "seconds a sender who waits for an answer is kept waiting", ge=0, le=60
    )
    queue_limit: int = setting(
        "AI_WEBHOOK_QUEUE_LIMIT", 50_000, "deliveries that may wait in Redis; past it senders are answered 503", ge=1
    )
    rate_limit: str | None = setting(
        "AI_WEBHOOK_RATE_LIMIT",
        None,
        "deliveries of one source at most, such as 600/minute; unset: no limit",
        pattern=r"^[1-9][0-9]{0,8} ?(/|per) ?([1-9][0-9]{0,4} ?)?(second|minute|hour|day)s?$",
    )
    max_body_bytes: int = setting(
        "AI_WEBHOOK_MAX_BODY_BYTES", 10 * 1024 * 1024, "bytes; a longer body is answered 413", ge=1024
    )
    signature_window_seconds: int = setting(
        "AI_WEBHOOK_SIGNATURE_WINDOW_SECONDS", 300, "seconds a signed timestamp may be off, either way", ge=1
    )
    batch_deliveries: int = setting(
        "AI_WEBHOOK_BATCH_DELIVERIES", 50, "deliveries that one job carries at most", ge=1, le=1000
    )
    seen_seconds: int = setting(
        "AI_WEBHOOK_SEEN_SECONDS",
        7 * 24 * 3600,
        "seconds Redis remembers a finished delivery to answer a repeat",
        ge=1,
    )
    job_timeout_seconds: int = setting("AI_WEBHOOK_JOB_TIMEOUT_SECONDS", 180, "seconds a job may take", ge=10)
    max_attempts: int = setting("AI_WEBHOOK_MAX_ATTEMPTS", 5, "tries before a delivery is `failed`", ge=1, le=100)
    sweep_seconds: float = setting(
        "AI_WEBHOOK_SWEEP_SECONDS", 5.0, "seconds between two looks for lost work and lapsed leases", gt=0
    )
    pool_size: int = setting("AI_WEBHOOK_POOL_SIZE", 4, "database connections of the web process at most", ge=1)
    worker_pool_size: int = setting(
        "AI_WEBHOOK_WORKER_POOL_SIZE", 4, "database connections of each worker at most", ge=1, le=64
    )
    max_waiting: int = setting(
        "AI_WEBHOOK_MAX_WAITING", 1000, "claims that may wait for a task at a time; more are answered 503", ge=1
    )
    max_streams: int = setting(
        "AI_WEBHOOK_MAX_STREAMS", 200, "connections that may listen to events at a time; more are answered 503", ge=1
    )
    max_artifact_bytes: int = setting(
        "AI_WEBHOOK_MAX_ARTIFACT_BYTES", 20 * 1024 * 1024, "bytes; a longer artifact is answered 413", ge=1024
    )
    live_idle_seconds: int = setting(
        "AI_WEBHOOK_LIVE_IDLE_SECONDS",
        900,
        "seconds without a word after which a session that is told live is completed",
        ge=10,
    )
    language: str = setting(
        "AI_WEBHOOK_LANGUAGE",
        "english",
        "language of sessions that do not say theirs: a name or code; simple for one without stems",
    )
    chunk_words: int = setting("AI_WEBHOOK_CHUNK_WORDS", 150, "words of a chunk at most", ge=20, le=2000)
    default_agent: str = setting("AI_WEBHOOK_DEFAULT_AGENT", "claude_code", "agent of a task that names none")
    task_commands: str | None = setting(
        "AI_WEBHOOK_TASK_COMMANDS",
        None,
        "agent that runs the commands native clients send as `task_command`; unset: they are refused",
        pattern=r"^[A-Za-z0-9_-]{1,100}$",
    )
    approve_confidence: float = setting(
        "AI_WEBHOOK_APPROVE_CONFIDENCE",
        0.9,
        "an inferred task at or above this starts `pending`, else `proposed`",
        ge=0,
        le=1.01,
    )
    extractors: str = setting(
        "AI_WEBHOOK_EXTRACTORS",
        "rules,model",
        "what finds memories, after commas: rules, model, llm",
        pattern=r"^(rules|model|llm)(, ?(rules|model|llm)){0,2}$",
    )
    llm_url: str | None = setting(
        "AI_WEBHOOK_LLM_URL",
        None,
        "address of a server with OpenAI's protocol, as http://localhost:11434/v1; for the extractor llm",
        pattern=r"^https?://[^/?#]+[^?#]*$",
    )
    llm_model: str | None = setting("AI_WEBHOOK_LLM_MODEL", None, "name of the model on that server")
    llm_key: SecretStr | None = setting("AI_WEBHOOK_LLM_KEY", None, "key for that server, if it wants one")
    llm_format: Literal["json_schema", "tool", "json_object"] = setting(
        "AI_WEBHOOK_LLM_FORMAT", "json_schema", "how it is made to answer in form: json_schema, tool or json_object"
    )
    llm_timeout_seconds: float = setting(
        "AI_WEBHOOK_LLM_TIMEOUT_SECONDS", 60.0, "seconds one answer may take", gt=0, le=150
    )
    llm_daily_tokens: int | None = setting(
        "AI_WEBHOOK_LLM_DAILY_TOKENS", 1_000_000, "tokens, in and out, of a day (UTC) at most", ge=1
    )
    llm_daily_cost: float | None = setting(
        "AI_WEBHOOK_LLM_DAILY_COST", None, "what a day may cost, in the currency of the prices; unset: no limit", gt=0
    )
    llm_price_in: float = setting("AI_WEBHOOK_LLM_PRICE_IN", 0.0, "price of a million tokens that it reads", ge=0)
    llm_price_out: float = setting("AI_WEBHOOK_LLM_PRICE_OUT", 0.0, "price of a million tokens that it writes", ge=0)
    embeddings_url: str | None = setting(
        "AI_WEBHOOK_EMBEDDINGS_URL",
        None,
        "address of a server with OpenAI's protocol, as http://localhost:11434/v1; search then goes by meaning, too",
        pattern=r"^https?://[^/?#]+[^?#]*$",
    )
    embeddings_model: str | None = setting("AI_WEBHOOK_EMBEDDINGS_MODEL", None, "name of the model on that server")
    embeddings_key: SecretStr | None = setting(
        "AI_WEBHOOK_EMBEDDINGS_KEY", None, "key for that server, if it wants one"
    )
    embeddings_question_prefix: str = setting(
        "AI_WEBHOOK_EMBEDDINGS_QUESTION_PREFIX", "", "what the model wants before a question, as `query:`"
    )
    embeddings_text_prefix: str = setting(
        "AI_WEBHOOK_EMBEDDINGS_TEXT_PREFIX", "", "what the model wants before a text, as `passage:`"
    )
    embeddings_timeout_seconds: float = setting(
        "AI_WEBHOOK_EMBEDDINGS_TIMEOUT_SECONDS", 5.0, "seconds to wait for that server", gt=0, le=60
    )
    timezone: str = setting(
        "AI_WEBHOOK_TIMEZONE", "UTC", "where people say `by Friday`: a name of the time zone database, as Europe/Berlin"
    )
    redacted: str = setting(
        "AI_WEBHOOK_REDACT",
        "card,key",
        "what is taken out before anything is stored: card, key, mail, phone, after commas; none: nothing",
        pattern=r"^(none|(card|key|mail|phone)(, ?(card|key|mail|phone))*)$",
    )
    runner_programs: str = setting(
        "AI_WEBHOOK_RUNNER_PROGRAMS",
        "claude,codex,gemini",
        "programs that an agent's row may name for `ai-webhook agent run`, after commas",
    )
    runner_repositories: str | None = setting(
        "AI_WEBHOOK_RUNNER_REPOSITORIES",
        None,
        "folders with the git repositories that tasks may work in, after commas; unset: none",
    )
    runner_environment: str | None = setting(
        "AI_WEBHOOK_RUNNER_ENVIRONMENT",
        None,
        "environment variables that an agent's program gets beside PATH, HOME and the like, after commas",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*(, ?[A-Za-z_][A-Za-z0-9_]*)*$",
    )
    runner_commands: str | None = setting(
        "AI_WEBHOOK_RUNNER_COMMANDS",
        None,
        "programs that `ai-webhook agent run NAME --commands` may run for clients, after commas; unset: none",
    )
    runner_folders: str | None = setting(
        "AI_WEBHOOK_RUNNER_FOLDERS",
        None,
        "folders in which it may run them, after commas; the first where a command names none; unset: none",
    )
    runner_seconds: int = setting("AI_WEBHOOK_RUNNER_SECONDS", 1800, "seconds an agent's program may take", ge=1)
    runner_log_bytes: int = setting(
        "AI_WEBHOOK_RUNNER_LOG_BYTES",
        1024 * 1024,
        "bytes that are kept of what an agent's program prints: the first half and the last",
        ge=1024,
        le=4 * 1024 * 1024,
    )
    retention_days: str | None = setting(
        "AI_WEBHOOK_RETENTION_DAYS",
        None,
        "days after its last activity for which a session is kept, by source: generic=90,omi=30,*=365; unset: for ever",
        pattern=r"^([a-z][a-z0-9_-]{0,63}|\*)=[1-9]\d{0,4}(, ?([a-z][a-z0-9_-]{0,63}|\*)=[1-9]\d{0,4})*$",
    )
    raw_days: int | None = setting(
        "AI_WEBHOOK_RAW_DAYS",
        None,
        "days for which raw deliveries are kept; what came of them stays, and cannot be reprocessed; unset: with it",
        ge=1,
        le=36500,
    )
    audit_days: int = setting(
        "AI_WEBHOOK_AUDIT_DAYS", 365, "days for which it is kept who read, changed and deleted what", ge=1, le=36500
    )
    stop_seconds: float = setting(
        "AI_WEBHOOK_STOP_SECONDS",
        6.0,
        "seconds web and workers have, told to stop, to end what they have in hand; the rest is given back",
        ge=2,
        le=3600,
    )
    metrics_token: SecretStr | None = setting(
        "AI_WEBHOOK_METRICS_TOKEN", None, "bearer token for /metrics and nothing else; AI_WEBHOOK_TOKEN opens it, too"
    )
    backup_folder: Path | None = setting(
        "AI_WEBHOOK_BACKUP_FOLDER", None, "folder into which backups are taken on a schedule; unset: none are"
    )
    backup_hours: float = setting(
        "AI_WEBHOOK_BACKUP_HOURS", 24, "hours from one scheduled backup to the next", gt=0, le=8760
    )
    backup_keep: int = setting(
        "AI_WEBHOOK_BACKUP_KEEP", 7, "backups that are kept in the folder; older ones are removed", ge=1, le=10_000
    )
    otlp_endpoint: str | None = setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT", None, "where traces go (OTLP over HTTP), with the extra otel; unset: nowhere"
    )
    log_format: Literal["json", "text"] | None = setting(
        "AI_WEBHOOK_LOG_FORMAT", None, "json or text; unset: text at a terminal and in `up`, else json"
    )
    log_level: str = setting("AI_WEBHOOK_LOG_LEVEL", "INFO", "DEBUG, INFO, WARNING or ERROR")

    @model_validator(mode="after")
    def llm_is_set_up(self) -> Self:
        if "llm" in self.extractor_names() and not (self.llm_url and self.llm_model):
            raise ValueError("the extractor llm needs AI_WEBHOOK_LLM_URL and AI_WEBHOOK_LLM_MODEL")
        return self

    @field_validator("queue_key", "encryption_key")
    @classmethod
    def long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if any(len(key) < LEAST_KEY_CHARS for key in split_secret(value)):
            raise ValueError(f"a key has {LEAST_KEY_CHARS} characters at least; `openssl rand -hex 32` makes one")
        return value

    @field_validator("language")
    @classmethod
    def known_language(cls, value: str) -> str:
        language = language_of(value)
        if language is None or (language == SIMPLE and value != SIMPLE):
            raise ValueError(f"AI_WEBHOOK_LANGUAGE is one of {', '.join(sorted({*LANGUAGES.values(), SIMPLE}))}")
        return language

    @field_validator("runner_environment")
    @classmethod
    def none_of_ours(cls, value: str | None) -> str | None:
        ours = [name for name in named(value) if name.upper().startswith(OWN_NAMES)]
        if ours:
            raise ValueError(f"what is this service's own must not reach an agent's program: {', '.join(ours)}")
        return value

    @field_validator("task_commands")
    @classmethod
    def agent_of_its_own(cls, value: str | None) -> str | None:
        if value in ("claude_code", "codex", "gemini_cli", "researcher"):
            raise ValueError(f"commands need an agent of their own, as `commands`; {value} does other work")
        return value

    @field_validator("out_private")
    @classmethod
    def known_networks(cls, value: str | None) -> str | None:
        for part in named(value):
            if "/" in part:
                try:
                    ip_network(part)
                except ValueError:
                    raise ValueError(f"{part} is no network such as 10.1.0.0/16") from None
        return value

    @field_validator("timezone")
    @classmethod
    def known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"no time zone is called {name}; give one such as Europe/Berlin") from None
        return name

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, env_file: Path | None = Path(".env")) -> Self:
        """Reads the environment over `.env`; raises SettingsError with a sentence for each wrong setting."""
        values: dict[str, str] = {}
        if env_file is not None and env_file.is_file():
            # libpq reads the PG* variables from the environment alone, so they do not count here either.
            written = dotenv_values(env_file).items()
            values.update({name: value for name, value in written if value and not name.startswith("PG")})
        values.update(os.environ if environ is None else environ)
        values = {name: value.strip() for name, value in values.items() if value.strip()}
        known = {str(field.alias) for field in cls.model_fields.values() if field.alias}
        for name in [n for n in values if n.endswith("_FILE")]:
            target = name.removesuffix("_FILE")
            if target in known or target.startswith((SOURCE_SECRET_PREFIX, FETCH_TOKEN_PREFIX, OUT_SECRET_PREFIX)):
                values[target] = read_secret(name, values[name])
        given: dict[str, Any] = {name: values[name] for name in known & values.keys()}
        given |= {
            "source_secrets": named_by_source(values, SOURCE_SECRET_PREFIX),
            "fetch_tokens": named_by_source(values, FETCH_TOKEN_PREFIX),
            "fetch_urls": named_by_source(values, FETCH_URL_PREFIX),
            "out_secrets": named_by_source(values, OUT_SECRET_PREFIX),
            "out_urls": named_by_source(values, OUT_URL_PREFIX),
        }
        try:
            return cls(**given)
        except ValidationError as error:
            raise SettingsError("; ".join(sentence(e) for e in error.errors(include_input=False))) from None

    def conninfo(self) -> str:
        """For libpq: the URL, or an empty text, which means the PG* variables."""
        return self.database_url.get_secret_value() if self.database_url else ""

    def owner_conninfo(self) -> str:
        """The same database as its owner, who alone may change the schema."""
        return self.migrate_url.get_secret_value() if self.migrate_url else self.conninfo()

    def api_keys(self) -> tuple[str, ...]:
        return split_secret(self.webhook_api_key)

    def keys(self) -> Keys:
        return Keys.of(split_secret(self.queue_key), split_secret(self.encryption_key))

    def extractor_names(self) -> tuple[str, ...]:
        return tuple(name.strip() for name in self.extractors.split(","))

    def redacted_kinds(self) -> tuple[str, ...]:
        return tuple(kind.strip() for kind in self.redacted.split(",") if kind != "none")

    def retention(self) -> tuple[dict[str, int], int | None]:
        """({source: days}, days of all others); without days: for ever."""
        days = {
            source: int(number) for source, _, number in (rule.partition("=") for rule in named(self.retention_days))
        }
        return {source: number for source, number in days.items() if source != "*"}, days.get("*")

    def listed_sources(self) -> tuple[str, ...]:
        return tuple(name.lower() for name in named(self.listed))

    def secrets_of(self, source: str) -> tuple[str, ...]:
        """The secrets that are valid for a source now, newest first."""
        return split_secret(self.source_secrets.get(source.replace("-", "_")))

    def out_secrets_of(self, subscription: str) -> tuple[str, ...]:
        """The secrets or tokens of a subscription, newest first."""
        return split_secret(self.out_secrets.get(subscription.replace("-", "_")))

    def out_private_places(self) -> tuple[frozenset[str], tuple[IPv4Network | IPv6Network, ...]]:
        """(host names, networks) that subscriptions may reach although they are private; an address is a network."""
        names, networks = set[str](), []
        for part in named(self.out_private):
            try:
                networks.append(ip_network(part))
            except ValueError:
                names.add(part.lower())
        return frozenset(names), tuple(networks)


def sockets_handed_over(environ: Mapping[str, str] | None = None) -> int:
    """How many open sockets who started this process left it, from descriptor 3 on: sd_listen_fds(3) of systemd."""
    given = os.environ if environ is None else environ
    number = given.get("LISTEN_FDS", "")
    if given.get("LISTEN_PID") != str(os.getpid()) or not number.isdecimal():  # meant for another process, or nobody
        return 0
    return int(number)


def named(names: str | None) -> tuple[str, ...]:
    """What a setting lists after commas."""
    return tuple(name.strip() for name in (names or "").split(",") if name.strip())


def named_by_source(values: Mapping[str, str], prefix: str) -> dict[str, str]:
    """What is set once for each source: `prefix` and the source's name, which is the key here, in lower case."""
    return {
        name.removeprefix(prefix).lower(): value
        for name, value in values.items()
        if name.startswith(prefix) and not name.endswith("_FILE")
    }


def split_secret(secret: SecretStr | None) -> tuple[str, ...]:
    return named(secret.get_secret_value() if secret else None)


def read_secret(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name} names a file that cannot be read: {type(error).__name__}.") from None


def sentence(error: Any) -> str:
    message = error["msg"].removeprefix("Value error, ")
    place = error["loc"][0] if error["loc"] else "AI_WEBHOOK_EXTRACTORS"  # the one setting that depends on others
    return f"{place}: {message[0].lower()}{message[1:]}"
