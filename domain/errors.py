"""Every error a person or a program can meet, with the code and the HTTP status it is known by.

    AIWebhookError
    ├── Refused                     the request is at fault; nothing was kept
    │   ├── EmptyBody  BodyTooLarge  BodyTooSlow  InvalidJson  UnknownKind
    │   ├── InvalidApiKey  SignatureError  SignatureExpired  RateLimited
    │   ├── UnknownSource  InvalidRequest  MethodNotAllowed  Forbidden
    │   ├── MissingScope  KeyReused  ChangedMeanwhile  UnsupportedMedia
    │   └── NotFound
    ├── TaskError                   a move of a task that its state or holder does not allow
    │   ├── ClaimLost  InvalidMove  AgentAtCapacity  NotAccepted
    │   └── UnknownAgent  UnknownTask
    ├── Unreadable                  an accepted delivery that says nothing we can read; it is kept
    │   └── UnknownEvent            of a kind that its source's reader does not know
    ├── SessionForgotten            what an accepted delivery is for was forgotten; it is not kept
    ├── Unavailable                 our fault or a server's; the same request will do later
    │   ├── QueueUnavailable  QueueFull  TooManyWaiting
    │   ├── DatabaseUnavailable
    │   │   └── DatabaseConflict    nobody's fault, and not held against what was asked
    │   └── Unverified  SealedElsewhere
    └── SettingsError               the service cannot start as it is set up

`code` never changes once published. The message is a sentence for people, `hint` says what to do next.
Neither ever quotes what was said, a secret, or a token.
"""

from typing import Any


class AIWebhookError(Exception):
    code = "internal_error"
    status = 500
    hint = "Look at the service's log; nothing that was accepted is lost."
    retry_after_seconds: int | None = None

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if hint is not None:
            self.hint = hint


class Refused(AIWebhookError):
    code = "invalid_request"
    status = 400
    hint = "Correct the request and send it again."


class EmptyBody(Refused):
    code = "empty_body"
    hint = "Send a JSON object, or a transcript as text/plain, text/vtt or application/x-subrip."


class BodyTooLarge(Refused):
    code = "body_too_large"
    status = 413
    hint = "Send the conversation in parts with the same session, or raise AI_WEBHOOK_MAX_BODY_BYTES."


class BodyTooSlow(Refused):
    code = "body_too_slow"
    status = 408
    hint = "Send the body at once; AI_WEBHOOK_BODY_SECONDS is the time that there is for it."


class InvalidJson(Refused):
    code = "invalid_json"
    hint = "Send UTF-8 JSON, an object at the top, nested no deeper than 100 levels."


class UnknownKind(Refused):
    code = "unknown_kind"
    status = 422
    hint = "`type` is collaborative_session_command, llm_conversation_insight or task_command."


class InvalidApiKey(Refused):
    code = "invalid_api_key"
    status = 401
    hint = "Send `Authorization: Bearer KEY` or `X-API-Key: KEY`."


class SignatureError(Refused):
    """A signature that is missing, malformed or wrong: always this one error, so that it tells nothing."""

    code = "invalid_signature"
    status = 401
    hint = "Sign the raw bytes of the body with the secret that this source has here."


class SignatureExpired(SignatureError):
    code = "signature_expired"
    hint = "Sign again with the current time; check the clocks of both machines."


class RateLimited(Refused):
    code = "rate_limited"
    status = 429
    hint = "Send the same request again later, or raise AI_WEBHOOK_RATE_LIMIT."

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class UnknownSource(Refused):
    code = "unknown_source"
    status = 404
    hint = "Source names are lower-case letters, digits, - and _; other sources need an API key."


class InvalidRequest(Refused):
    code = "invalid_request"
    status = 422


class MethodNotAllowed(Refused):
    code = "method_not_allowed"
    status = 405
    hint = "Senders POST; /healthz and /readyz are read with GET."


class Forbidden(Refused):
    code = "forbidden"
    status = 401
    hint = "Send `Authorization: Bearer TOKEN`; `ai-webhook up` keeps the token in its data folder."


class MissingScope(Refused):
    """The token is valid, and not for this."""

    code = "missing_scope"
    status = 403
    hint = "`ai-webhook token create NAME --scope SCOPE` makes a token; docs/agents.md says what each scope opens."


class KeyReused(Refused):
    code = "idempotency_key_reused"
    status = 422
    hint = "Make a new key for every new request; send the old one only with the same request."


class ChangedMeanwhile(Refused):
    code = "changed_meanwhile"
    status = 412
    hint = "Read it again, and send the change with the version that it has now."


class UnsupportedMedia(Refused):
    code = "unsupported_media_type"
    status = 415
    hint = "Send JSON, with `Content-Type: application/json`."


class NotFound(Refused):
    code = "not_found"
    status = 404
    hint = "List what there is first."


class TaskError(AIWebhookError):
    code = "task_error"
    status = 409
    hint = "Look at the task's state first."


class ClaimLost(TaskError):
    code = "claim_lost"
    hint = "The lease lapsed or somebody else holds the task now; drop the work or claim again."


class InvalidMove(TaskError):
    code = "invalid_move"
    hint = "Look at the task's status; not every move is allowed from it."


class AgentAtCapacity(TaskError):
    code = "agent_at_capacity"
    hint = "Finish or release a task first, or raise the agent's max_concurrent."


class NotAccepted(TaskError):
    code = "completion_not_accepted"
    hint = "The task says in `acceptance` what a completion has to bring."


class UnknownAgent(TaskError):
    code = "unknown_agent"
    status = 404
    hint = "`ai-webhook agents list` shows the agents there are."


class UnknownTask(TaskError):
    code = "unknown_task"
    status = 404
    hint = "`ai-webhook tasks list` shows the tasks there are."


class Unreadable(AIWebhookError):
    """An accepted delivery that cannot be read. It ends as `failed`, kept whole, with this code and message."""

    code = "unreadable"
    status = 422
    hint = "Correct the sender; after a fix on our side replay the delivery."

    def __init__(self, message: str, *, code: str = "unreadable", retry: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.retry = retry  # True where a delivery still on its way may mend it (a session not yet created)


class UnknownEvent(Unreadable):
    """A delivery of a kind that its source's reader does not know. It is kept as `unknown`, listed, and replayable."""

    def __init__(self, source: str) -> None:
        super().__init__(f"The reader of {source} does not know this event.", code="unknown_event")


class SessionForgotten(AIWebhookError):
    code = "session_forgotten"
    status = 410
    hint = "Use another session, or make this one anew by POST /api/sessions."


class Unavailable(AIWebhookError):
    code = "unavailable"
    status = 503
    hint = "Send the same request again in a few seconds."
    retry_after_seconds = 5


class QueueUnavailable(Unavailable):
    code = "queue_unavailable"


class QueueFull(Unavailable):
    code = "queue_full"
    hint = "Send the same request again later; more workers (AI_WEBHOOK_WORKERS) empty the queue faster."
    retry_after_seconds = 30


class DatabaseUnavailable(Unavailable):
    code = "database_unavailable"


class DatabaseConflict(DatabaseUnavailable):
    """What was asked is not to blame: others were in its way, there was no room, or PostgreSQL was told to stop."""


class TooManyWaiting(Unavailable):
    code = "too_many_waiting"
    hint = "Ask again later, or without waiting; AI_WEBHOOK_MAX_WAITING is how many may wait."


class Unverified(Unavailable):
    """What lies in Redis as a delivery, and no key of ours vouches for it. It is kept there and not processed."""

    code = "unverified_delivery"
    hint = (
        "Set the same AI_WEBHOOK_QUEUE_KEY for endpoint and workers: what was accepted is then taken up by itself. "
        "If they have the same, somebody else wrote to Redis."
    )


class SealedElsewhere(Unavailable):
    """Bytes that were sealed with a key which is not set here, or were changed since."""

    code = "encryption_key_missing"
    hint = "Add that key to AI_WEBHOOK_ENCRYPTION_KEY, after a comma; nothing is lost meanwhile."


class SettingsError(AIWebhookError):
    code = "invalid_settings"
    hint = ".env.example lists every setting with its default and its unit."


def error_body(error: AIWebhookError) -> dict[str, Any]:
    """The one JSON shape in which every surface tells an error."""
    return {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
