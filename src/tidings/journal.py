"""Logs: one JSON object a line on stderr, for people and programs alike."""

import json
import logging
import sys
import time

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class JsonLines(logging.Formatter):
    """Writes time, level, logger, message and whatever was given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        if record.name == "tidings.access" and record.args == () and record.getMessage().startswith("{"):
            return record.getMessage()  # a JSON object already, made in 5 us
        line = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "log": record.name,
            "message": record.getMessage(),
        }
        line.update({key: value for key, value in vars(record).items() if key not in _PLAIN})
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def start(level: str) -> None:
    """Send what `tidings` and its parts log to stderr; `off` sends nothing."""
    root = logging.getLogger()
    for one in root.handlers[:]:
        root.removeHandler(one)
    if level == "off":
        logging.disable(logging.CRITICAL)
        return
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(JsonLines())
    root.addHandler(lines)
    root.setLevel(_LEVELS[level])
    logging.getLogger("uvicorn").setLevel(max(_LEVELS[level], logging.WARNING))
    logging.getLogger("asyncio").setLevel(logging.WARNING)
