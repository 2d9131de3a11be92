"""Log records as JSON: the same keys in the agent and in the central, one line each."""

from __future__ import annotations

import json
import logging

from cloud_sync.host.json_logs import JsonFormatter


def test_a_record_has_time_level_logger_and_message():
    record = logging.LogRecord("edge_agent.drivers", logging.WARNING, "", 0, "%s is lost", ("plc",), None)
    line = json.loads(JsonFormatter().format(record))
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "warning", "logger": "edge_agent.drivers", "message": "plc is lost"}


def test_what_a_record_carries_and_where_it_was_logged_stand_beside_the_message():
    record = logging.LogRecord("x", logging.INFO, "", 0, "answered", (), None)
    record.fields = {"status": 200}
    line = json.loads(JsonFormatter(context=lambda: {"request_id": "r-1"}).format(record))
    assert (line["status"], line["request_id"]) == (200, "r-1")


def test_a_traceback_is_one_line_too():
    exc = ValueError("two\nlines")
    record = logging.LogRecord("x", logging.ERROR, "", 0, "it broke: %s", ("badly",), (ValueError, exc, None))
    text = JsonFormatter().format(record)
    assert "\n" not in text
    line = json.loads(text)
    assert (line["message"], line["level"]) == ("it broke: badly", "error")
    assert "ValueError" in line["traceback"]
