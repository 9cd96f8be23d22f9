"""One line for each event: words that name it, and what belongs to it as key=value or JSON.

Built on `logging`, so that whoever embeds the package keeps control of handlers and levels
(docs/decisions/log-lines.md says why this is not a library's).
"""

import json
import logging
import sys
import time
from typing import Any

_CONTEXT = "sidecar_context"


class EventLogger:
    """Logs events of one module; `log.info("session ended", session="v7", cause="time-out")`."""

    __slots__ = ("_context", "_logger")

    def __init__(self, logger: logging.Logger, context: dict[str, Any] | None = None) -> None:
        self._logger = logger
        self._context = context or {}

    def bind(self, **context: Any) -> "EventLogger":
        """A logger that adds `context` to every event."""
        return EventLogger(self._logger, {**self._context, **context})

    def debug(self, event: str, **context: Any) -> None:
        """For those who look for a fault."""
        self._log(logging.DEBUG, event, context)

    def info(self, event: str, **context: Any) -> None:
        """For those who want to know what went on."""
        self._log(logging.INFO, event, context)

    def warning(self, event: str, **context: Any) -> None:
        """For something that somebody should look at."""
        self._log(logging.WARNING, event, context)

    def error(self, event: str, **context: Any) -> None:
        """For something that does not work."""
        self._log(logging.ERROR, event, context)

    def exception(self, event: str, **context: Any) -> None:
        """For a fault of our own: adds the traceback of the exception that is being handled."""
        self._log(logging.ERROR, event, context, exc_info=True)

    def _log(self, level: int, event: str, context: dict[str, Any], exc_info: Any = None) -> None:
        if self._logger.isEnabledFor(level):
            # the event is an argument, not the format: a % in it means itself
            self._logger.log(
                level, "%s", event, exc_info=exc_info, extra={_CONTEXT: {**self._context, **context}}
            )


def get_logger(name: str = "sidecar") -> EventLogger:
    """The event logger of a module; `name` is its `__name__`."""
    return EventLogger(logging.getLogger(name))


class LineFormatter(logging.Formatter):
    """Time, level, event, key=value."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, then the traceback if there is one."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(record.created))
        words = [moment, f"{record.levelname.lower():7}", _one_line(record.getMessage())]
        words += [f"{key}={_plain(value)}" for key, value in getattr(record, _CONTEXT, {}).items()]
        return _with_traceback(self, record, " ".join(words))


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Keys: time (seconds since 1970), level, logger, event, then those of the context."""
        entry: dict[str, Any] = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        entry.update(getattr(record, _CONTEXT, {}))
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def configure(level: str = "info", *, as_json: bool = False) -> None:
    """Sends every event from `level` (debug, info, warning, error) on to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else LineFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # libraries speak up only when something is wrong
    for library in ("asyncio", "aiohttp", "dbus_fast", "grpc", "qemu"):
        logging.getLogger(library).setLevel(max(logging.WARNING, root.level))


def _one_line(text: str) -> str:
    return text.replace("\n", "\\n").replace("\r", "\\r")


def _plain(value: Any) -> str:
    text = str(value)
    return (
        json.dumps(text)
        if not text or any(c.isspace() or c in '"=' or not c.isprintable() for c in text)
        else text
    )


def _with_traceback(formatter: logging.Formatter, record: logging.LogRecord, line: str) -> str:
    return f"{line}\n{formatter.formatException(record.exc_info)}" if record.exc_info else line
