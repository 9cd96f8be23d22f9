"""One line for each event: words that name it, and what belongs to it as key=value or JSON.

Built on `logging`, so that whoever embeds the package keeps control of handlers and levels
(docs/decisions/log-lines.md says why this is not a library's).
"""

import copy
import json
import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_CONTEXT: Final = "sidecar_context"

BURST: Final = 200
"""Lines of one event that are written at once."""

RATE: Final = 2.0
"""Lines of one event a second, after the burst: a peer can cause most of them as often as it likes."""

SETTLED: Final = 30.0
"""Seconds after the last line left out at which the next line of any event tells of them."""

MOST_EVENTS: Final = 512
"""Events told apart, both where lines are counted and where they are left out; the rest share one place."""

_OTHERS: Final = "others"


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
        if level >= logging.INFO:
            _count(level, event)
        if self._logger.isEnabledFor(level):
            # the event is an argument, not the format: a % in it means itself
            self._logger.log(
                level, "%s", event, exc_info=exc_info, extra={_CONTEXT: {**self._context, **context}}
            )


def get_logger(name: str = "sidecar") -> EventLogger:
    """The event logger of a module; `name` is its `__name__`."""
    return EventLogger(logging.getLogger(name))


_lines: Counter[tuple[int, str]] = Counter()
_counting = threading.Lock()


def _count(level: int, event: str) -> None:
    # some are of the listener's thread
    with _counting:
        key = level, event
        _lines[key if key in _lines or len(_lines) < MOST_EVENTS else (level, _OTHERS)] += 1


def counted() -> Mapping[tuple[int, str], int]:
    """How often each event from INFO on has come since the process began, by level and event.

    Written or not: neither the level that is logged nor a flood changes it.
    """
    with _counting:
        return dict(_lines)


@dataclass(slots=True)
class _Allowance:
    lines: float
    at: float
    left_out: int = 0


class FloodGate:
    """Lets BURST lines of each event through at once, then RATE a second. Does no I/O; time is passed in."""

    def __init__(self) -> None:
        self._allowances: dict[str, _Allowance] = {}
        self._incomplete: set[str] = set()

    def admit(self, event: str, now: float) -> int | None:
        """None: leave this line out. Else how many lines of the event were left out just before it."""
        if event not in self._allowances and len(self._allowances) >= MOST_EVENTS:
            event = _OTHERS
        allowance = self._allowances.setdefault(event, _Allowance(BURST, now))
        # a clock that is set back gives nothing
        gained = max(0.0, now - allowance.at) * RATE
        allowance.lines = min(float(BURST), allowance.lines + gained)
        allowance.at = now
        if allowance.lines < 1:
            allowance.left_out += 1
            self._incomplete.add(event)
            return None
        allowance.lines -= 1
        self._incomplete.discard(event)
        left_out, allowance.left_out = allowance.left_out, 0
        return left_out

    def untold(self, now: float | None = None) -> list[tuple[str, int]]:
        """Events of which lines were left out, and how many, that nobody was told; told by this.

        Those of which none has come since SETTLED seconds before `now`; None: all.
        """
        told = []
        # a flood touches one event, and mostly there is none at all
        for event in sorted(self._incomplete):
            allowance = self._allowances[event]
            if now is None or not 0 <= now - allowance.at < SETTLED:
                told.append((event, allowance.left_out))
                allowance.left_out = 0
                self._incomplete.discard(event)
        return told


class EventHandler(logging.StreamHandler[Any]):
    """Writes the lines of events, with a FloodGate before it.

    Lines at DEBUG pass, since somebody wants all of them, and so do those of the audit log, but for refusals:
    these anybody can cause.
    """

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._gate = FloodGate()

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a line or leaves it out."""
        for event, left_out in self._gate.untold(record.created):
            super().emit(_tells_of(event, left_out))
        if record.levelno > logging.DEBUG and not _is_audit(record):
            left_out_before = self._gate.admit(record.getMessage(), record.created)
            if left_out_before is None:
                return
            if left_out_before:
                record = copy.copy(record)
                setattr(record, _CONTEXT, {**_context(record), "left_out": left_out_before})
        super().emit(record)

    def close(self) -> None:
        """Tells what was left out last, and ends."""
        for event, left_out in self._gate.untold():
            super().emit(_tells_of(event, left_out))
        super().close()


def _tells_of(event: str, left_out: int) -> logging.LogRecord:
    record = logging.LogRecord(__name__, logging.WARNING, __file__, 0, "%s", ("lines left out",), None)
    setattr(record, _CONTEXT, {"of": event, "left_out": left_out})
    return record


def _context(record: logging.LogRecord) -> dict[str, Any]:
    context: dict[str, Any] = getattr(record, _CONTEXT, {})
    return context


def _is_audit(record: logging.LogRecord) -> bool:
    return record.getMessage() == "audit" and _context(record).get("outcome") != "refused"


class LineFormatter(logging.Formatter):
    """Time, level, event, key=value."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, then the traceback if there is one."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(record.created))
        words = [moment, f"{record.levelname.lower():7}", _one_line(record.getMessage())]
        words += [f"{key}={_plain(value)}" for key, value in _context(record).items()]
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
        entry.update(_context(record))
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def configure(level: str = "info", *, as_json: bool = False) -> None:
    """Sends every event from `level` (debug, info, warning, error) on to stderr, floods of one left out."""
    handler = EventHandler(sys.stderr)
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
