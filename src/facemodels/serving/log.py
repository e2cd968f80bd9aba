"""Structured logs: one JSON object a line on standard error.

No image, no embedding and no name of a person is logged.
"""

from __future__ import annotations

import logging
import sys
import threading

import orjson
import structlog


def configure() -> None:
    """Log the server's events, uvicorn's messages and Python's warnings in the same form."""
    shared: list[structlog.types.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(serializer=_dump)],
        logger_factory=lambda *_: _Lines(),
        cache_logger_on_first_use=True,
    )
    handler = _Handler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=_dump),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(True)
    threading.excepthook = _thread_failed


class _Lines:
    """Writes whole lines. If nobody reads them any more, requests are answered all the same."""

    lock = threading.Lock()

    def msg(self, line: str) -> None:
        with self.lock:
            try:
                sys.stderr.write(line + "\n")
                sys.stderr.flush()
            except OSError:
                return

    debug = info = warning = error = critical = exception = msg


class _Handler(logging.Handler):
    """Writes the records of `logging` as the same lines."""

    _lines = _Lines()

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.msg(self.format(record))


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    """Log an error that ended a thread."""
    value = failed.exc_value or failed.exc_type()
    logging.getLogger("threads").error("a thread failed", exc_info=value)


def _dump(value: object, **_: object) -> str:
    return orjson.dumps(value, default=str).decode()
