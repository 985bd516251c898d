"""A command that a native client sent, from its claim to its end: run if it may be, once, and answered with what it
printed."""

from typing import Any

from ops.runner_allowing import Line, line_for
from ops.runner_attempt import Attempt
from ops.runner_process import Child, Log

OUTPUT_BYTES = 64 * 1024  # of what it prints, and of what it complains of
STOPPED = "command_stopped: The runner was stopped while the command ran; what it did by then is done."


class CommandAttempt(Attempt):
    """It is not tried again, whatever happens: nobody knows how much a command did that was broken off."""

    line: Line
    errors: Log | None = None

    def prepare(self) -> None:
        assert self.setup.allowed is not None
        self.line = line_for(self.claim.get("command"), self.setup.allowed, self.environment)
        self.printed = Log(self.folder.path / "stdout", OUTPUT_BYTES)
        self.errors = Log(self.folder.path / "stderr", OUTPUT_BYTES)
        self.folder.write_state(self.state())  # from here on it may have begun

    def seconds_allowed(self) -> float:
        return self.line.seconds

    def spawn(self) -> Child:
        self.child = Child(
            self.line.words,
            run=self.run_id,
            folder=self.line.folder,
            environment=self.line.environment,
            log=self.printed,
            errors=self.errors,
            stdin=None,
        )
        self.folder.write_state(self.state())
        return self.child

    def state(self) -> dict[str, Any]:
        return {**super().state(), "is_command": self.errors is not None}

    def settle(self, ended: str, code: int) -> str:
        """One that ended by itself is completed, whatever its exit code: that is its result."""
        if ended == "stopped":
            return self.fail(STOPPED, retry=False)
        if ended == "late":
            error = f"command_timeout: The command took longer than its {self.line.seconds:g} seconds."
            return self.fail(error, retry=False)
        assert self.errors is not None
        output = {"exit_code": code, "stdout": text_of(self.printed), "stderr": text_of(self.errors)}
        self.move("complete", output_data={**output, "seconds": self.seconds}, artifacts=[])
        return "completed"

    def close(self, became: str) -> None:
        super().close(became)
        if self.errors is not None:
            self.printed.close()
            self.errors.close()


def text_of(log: Log) -> str:
    """What was printed, as JSON and PostgreSQL can hold it."""
    return log.content().decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
