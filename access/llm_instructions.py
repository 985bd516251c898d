"""/llm-instructions: what an assistant needs to know to use the webhook, as a text that it can read."""

from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def instructions(address: str) -> str:
    """The page for a service that is reached at this address."""
    text = files("access").joinpath("llm_instructions.md").read_text(encoding="utf-8")
    return text.replace("{address}", address)


def instruction_routes(public_url: str | None) -> list[Route]:
    async def page(request: Request) -> Response:
        address = (public_url or str(request.base_url)).rstrip("/")
        return Response(
            instructions(address), media_type="text/markdown", headers={"x-content-type-options": "nosniff"}
        )

    return [Route("/llm-instructions", page)]
