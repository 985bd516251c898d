"""The `ai-webhook` command and `python -m ops`."""

import sys

from domain.errors import AIWebhookError, SettingsError
from ops import (  # noqa: F401 - they register their commands
    cli_agent,
    cli_audit,
    cli_bench,
    cli_care,
    cli_console,
    cli_eval,
    cli_forget,
    cli_health,
    cli_import,
    cli_mcp,
    cli_records,
    cli_send,
    cli_service,
    cli_subscriptions,
    cli_tokens,
)
from ops.cli import app
from ops.output import complain


def main() -> None:
    """Runs a command: exit 0 when done, 1 when it failed, 2 when it was used or set up wrongly."""
    try:
        app()
    except AIWebhookError as error:
        complain(error.message, error.hint)
        sys.exit(2 if isinstance(error, SettingsError) else 1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
