"""`ai-webhook mcp`: the MCP server over stdio, for agents on this machine."""

import sys
from typing import Any

import anyio.to_thread

from access.client import Client
from domain.log_lines import log_to
from ops.cli import Data, app, service


class RemoteActions:
    """Does actions by asking the service, with the token that this command has."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def act(self, name: str, asked: dict[str, Any]) -> Any:
        return await anyio.to_thread.run_sync(self.client.act, name, asked)


@app.command()
def mcp(data: Data = None) -> None:
    """Serve MCP over standard input and output, for Claude Code, Codex, Gemini CLI and the like."""
    from access.mcp_server import build

    log_to(sys.stderr, "WARNING")
    with service(data) as client:
        build(RemoteActions(client)).run("stdio")
