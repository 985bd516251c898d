"""What our processes print: one line for each thing that happens, ours and the libraries' in one shape. Of an error it
tells its kind and its places in the code: its message may quote what was said, or a secret."""

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import EventDict, WrappedLogger

from domain.settings import Settings

MOST_CAUSES = 8


def about(**names: str) -> AbstractContextManager[None]:
    """Adds these names, such as `delivery_id`, to every line that is printed within, by whomever."""
    return structlog.contextvars.bound_contextvars(**names)


def log_to_stdout(settings: Settings) -> None:
    """Nothing of what people said is printed, at DEBUG neither, where libraries would write every message that goes in
    or out."""
    log_to(sys.stdout, settings.log_level, settings.log_format)


def log_to(stream: TextIO, level: str, form: str | None = None) -> None:
    """`form` is `json` or `text`; None is text for people at a terminal and JSON for everybody else."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter(form or ("text" if stream.isatty() else "json")))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for library in ("uvicorn", "mcp", "sse_starlette"):
        logging.getLogger(library).setLevel("WARNING")
    for library in ("httpx2", "httpcore2"):  # whole URLs, headers
        logging.getLogger(library).setLevel("WARNING")


def formatter(form: str) -> logging.Formatter:
    shape: list[structlog.typing.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if form == "json":
        shape.append(structlog.processors.JSONRenderer(serializer=written))
    else:
        shape.append(as_text)
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            told_by_kind,
        ],
        processors=shape,
    )


def told_by_kind(logger: WrappedLogger, method: str, line: EventDict) -> EventDict:
    error = line.pop("exc_info", None)
    if isinstance(error, tuple) and error[1] is not None:
        line["exception"] = "\n".join(places(error[1]))
    return line


def as_text(logger: WrappedLogger, method: str, line: EventDict) -> str:
    """What is written, then what it is about unless that is in it, then the error."""
    text = str(line["event"])
    rest = {name: value for name, value in line.items() if name not in ("event", "level", "logger", "timestamp")}
    exception = rest.pop("exception", None)
    text += "".join(f" {name}={value}" for name, value in rest.items() if str(value) not in text)
    return f"{text}\n{exception}" if exception else text


def written(line: Any, **options: Any) -> str:
    return orjson.dumps(line, default=str).decode()


def places(error: BaseException | None, deep: int = 0) -> Iterator[str]:
    if error is None or deep > MOST_CAUSES:
        return
    yield type(error).__name__
    yield from (
        f"  {frame.f_code.co_filename}:{line} {frame.f_code.co_name}"
        for frame, line in traceback.walk_tb(error.__traceback__)
    )
    for cause in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        yield from places(cause, deep + 1)
    yield from places(error.__cause__ or (None if error.__suppress_context__ else error.__context__), deep + 1)
