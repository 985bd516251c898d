"""The client of the service: posts deliveries as a sender does, and speaks the JSON API.

The command line is built on it.
"""

from types import TracebackType
from typing import Any, Self

import httpx2

from domain.errors import AIWebhookError, Unavailable


class ServiceError(AIWebhookError):
    """What the service refused, with its own code, message and hint."""

    def __init__(self, status: int, code: str, message: str, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code


class Client:
    """One connection to the service at `url`. `token` opens /api; posting to /webhook needs its own credentials."""

    def __init__(self, url: str, token: str | None = None, *, timeout_seconds: float = 30.0) -> None:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self.url = url.rstrip("/")
        self.api_headers = headers
        self.http = httpx2.Client(base_url=self.url, timeout=timeout_seconds)

    def get(self, path: str, **parameters: Any) -> Any:
        """GET /api<path>; parameters that are None are left out. Returns the JSON."""
        wanted = {name: value for name, value in parameters.items() if value is not None}
        return parsed(self.request("GET", "/api" + path, headers=self.api_headers, params=wanted))

    def get_bytes(self, path: str) -> bytes:
        return self.request("GET", "/api" + path, headers=self.api_headers).content

    def post(self, path: str, **body: Any) -> Any:
        """POST /api<path> with these fields; those that are None are left out. Returns the JSON."""
        wanted = {name: value for name, value in body.items() if value is not None}
        return parsed(self.request("POST", "/api" + path, headers=self.api_headers, json=wanted))

    def put(self, path: str, **body: Any) -> Any:
        """PUT /api<path> with these fields. Returns the JSON."""
        return parsed(self.request("PUT", "/api" + path, headers=self.api_headers, json=body))

    def patch(self, path: str, **body: Any) -> Any:
        """PATCH /api<path> with these fields; those that are None are left out. Returns the JSON."""
        wanted = {name: value for name, value in body.items() if value is not None}
        return parsed(self.request("PATCH", "/api" + path, headers=self.api_headers, json=wanted))

    def deliver(self, source: str, body: bytes, headers: dict[str, str], *, session: str | None = None) -> Any:
        """Posts a delivery; returns {"status": "accepted" or "duplicate", "delivery": key}."""
        parameters = {"session": session} if session else {}
        return parsed(self.request("POST", f"/webhook/{source}", content=body, headers=headers, params=parameters))

    def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        try:
            response = self.http.request(method, path, **options)
        except httpx2.HTTPError as error:
            raise Unavailable(
                f"Nothing answers at {self.url} ({type(error).__name__}).",
                hint="Start the service with `ai-webhook up`, or set AI_WEBHOOK_URL.",
            ) from None
        if response.is_success:
            return response
        raise refusal(response)

    def close(self) -> None:
        self.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def parsed(response: httpx2.Response) -> Any:
    try:
        return response.json()
    except ValueError:  # another program's page, whatever its status says
        raise refusal(response) from None


def refusal(response: httpx2.Response) -> ServiceError:
    try:
        error = response.json()["error"]
        return ServiceError(response.status_code, error["code"], error["message"], error["hint"])
    except (ValueError, KeyError, TypeError):
        hint = "Is this an AI Webhook? Look at AI_WEBHOOK_URL."
        return ServiceError(response.status_code, "unexpected_answer", f"HTTP {response.status_code}.", hint)
