"""Log records as lines of JSON."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from edge_agent.health.logs import set_up_logging


@pytest.fixture
def own_logging() -> Iterator[None]:
    root, edge = logging.getLogger(), logging.getLogger("edge_agent")
    handlers, level, edge_level = root.handlers[:], root.level, edge.level
    yield
    root.handlers[:], root.level, edge.level = handlers, level, edge_level


@pytest.mark.usefixtures("own_logging")
def test_json_log_lines_are_objects_with_time_level_and_message(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info", "json")
    logging.getLogger("edge_agent").warning("%s is lost", "plc")
    document = json.loads(capsys.readouterr().err)
    assert (document["level"], document["logger"]) == ("warning", "edge_agent")
    assert document["message"] == "plc is lost"
    assert document["time"].endswith("+00:00")
