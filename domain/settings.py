"""Every setting, its default and its unit: read once, frozen, handed on.

Values come from the environment, then from `.env`. A secret may also come from a file: `WEBHOOK_API_KEY_FILE`
names one that holds what `WEBHOOK_API_KEY` would, as container platforms mount it.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from domain.errors import SettingsError
from domain.session import LANGUAGES, SIMPLE, language_of

SOURCE_SECRET_PREFIX = "WEBHOOK_SECRET_"  # noqa: S105 - the name of a setting
FETCH_TOKEN_PREFIX = "FETCH_TOKEN_"  # noqa: S105
FETCH_URL_PREFIX = "FETCH_URL_"


def setting(name: str, default: Any, description: str, **limits: Any) -> Any:
    return Field(default=default, alias=name, description=description, **limits)


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    database_url: SecretStr | None = setting(
        "DATABASE_URL", None, "PostgreSQL 15 to 18; unset: the PG* variables, else an embedded server"
    )
    pg_host: str | None = setting("PGHOST", None, "with PGPORT, PGUSER, PGPASSWORD, PGDATABASE: as psql reads them")
    redis_url: SecretStr | None = setting(
        "REDIS_URL", None, "Redis 6.2 or Valkey 7.2 and newer; unset: an embedded server"
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
    url: str | None = setting(
        "AI_WEBHOOK_URL", None, "the service the command talks to; unset: the one that is up here"
    )
    token: SecretStr | None = setting("AI_WEBHOOK_TOKEN", None, "bearer token for /api")
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
    rq_dashboard_username: str = setting("RQ_DASHBOARD_USERNAME", "admin", "who may open rq-dashboard")
    rq_dashboard_password: SecretStr | None = setting(
        "RQ_DASHBOARD_PASSWORD", None, "with this password; unset: rq-dashboard does not start"
    )
    rq_dashboard_port: int = setting("RQ_DASHBOARD_PORT", 9181, "port rq-dashboard listens on", ge=0, le=65535)
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
    log_level: str = setting("AI_WEBHOOK_LOG_LEVEL", "INFO", "DEBUG, INFO, WARNING or ERROR")

    @model_validator(mode="after")
    def llm_is_set_up(self) -> Self:
        if "llm" in self.extractor_names() and not (self.llm_url and self.llm_model):
            raise ValueError("the extractor llm needs AI_WEBHOOK_LLM_URL and AI_WEBHOOK_LLM_MODEL")
        return self

    @field_validator("language")
    @classmethod
    def known_language(cls, value: str) -> str:
        language = language_of(value)
        if language is None or (language == SIMPLE and value != SIMPLE):
            raise ValueError(f"AI_WEBHOOK_LANGUAGE is one of {', '.join(sorted({*LANGUAGES.values(), SIMPLE}))}")
        return language

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
            if target in known or target.startswith((SOURCE_SECRET_PREFIX, FETCH_TOKEN_PREFIX)):
                values[target] = read_secret(name, values[name])
        given: dict[str, Any] = {name: values[name] for name in known & values.keys()}
        given |= {
            "source_secrets": named_by_source(values, SOURCE_SECRET_PREFIX),
            "fetch_tokens": named_by_source(values, FETCH_TOKEN_PREFIX),
            "fetch_urls": named_by_source(values, FETCH_URL_PREFIX),
        }
        try:
            return cls(**given)
        except ValidationError as error:
            raise SettingsError("; ".join(sentence(e) for e in error.errors(include_input=False))) from None

    def conninfo(self) -> str:
        """For libpq: the URL, or an empty text, which means the PG* variables."""
        return self.database_url.get_secret_value() if self.database_url else ""

    def api_keys(self) -> tuple[str, ...]:
        return split_secret(self.webhook_api_key)

    def extractor_names(self) -> tuple[str, ...]:
        return tuple(name.strip() for name in self.extractors.split(","))

    def redacted_kinds(self) -> tuple[str, ...]:
        return tuple(kind.strip() for kind in self.redacted.split(",") if kind != "none")

    def listed_sources(self) -> tuple[str, ...]:
        return tuple(name.strip().lower() for name in (self.listed or "").split(",") if name.strip())

    def secrets_of(self, source: str) -> tuple[str, ...]:
        """The secrets that are valid for a source now, newest first."""
        return split_secret(self.source_secrets.get(source.replace("-", "_")))


def named_by_source(values: Mapping[str, str], prefix: str) -> dict[str, str]:
    """What is set once for each source: `prefix` and the source's name, which is the key here, in lower case."""
    return {
        name.removeprefix(prefix).lower(): value
        for name, value in values.items()
        if name.startswith(prefix) and not name.endswith("_FILE")
    }


def split_secret(secret: SecretStr | None) -> tuple[str, ...]:
    if secret is None:
        return ()
    return tuple(part.strip() for part in secret.get_secret_value().split(",") if part.strip())


def read_secret(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name} names a file that cannot be read: {type(error).__name__}.") from None


def sentence(error: Any) -> str:
    message = error["msg"].removeprefix("Value error, ")
    place = error["loc"][0] if error["loc"] else "AI_WEBHOOK_EXTRACTORS"  # the one setting that depends on others
    return f"{place}: {message[0].lower()}{message[1:]}"
