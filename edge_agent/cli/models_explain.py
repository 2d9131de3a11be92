"""`edge-agent models explain`: why the newest scores are what they are. Asks the agent, or reads what it last said.

Imports nothing heavy, like `status`.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from edge_agent.cli.machine_text import WHOSE, fault_line_in_words, reason_in_words
from edge_agent.cli.status import folders_of
from edge_agent.cli.status_text import can_show
from edge_agent.errors import ConfigurationError, DaemonUnreachableError
from edge_agent.settings.toml_file import find_settings_file, read_document, resolve_paths
from edge_agent.status.words import ago

DOWN: Final = 2

_TAKEN_OVER: Final = ("model", "verdict", "score", "threshold", "is_alarm", "pushed_by")


def explain_scores(config: Path | None, subject: str | None, *, as_json: bool) -> int:
    """Return 0, or 2 when no agent has answered. Raises ConfigurationError for a subject that is not scored."""
    status, is_running = _newest_status(config)
    if status is None:
        print("edge-agent: no agent answers, and none has left a status", file=sys.stderr)
        return DOWN
    document = explanations_of(status, is_running=is_running)
    if subject is not None:
        document["explanations"] = _only(document["explanations"], subject)
    print(json.dumps(document) if as_json else as_text(document, datetime.now(UTC)))
    return 0


def explanations_of(status: dict[str, Any], *, is_running: bool) -> dict[str, Any]:
    """Return the part of a status document that says why scores are what they are."""
    channels = [channel for source in status["sources"] for channel in source.get("channels", [])]
    tag_models = [{**model, "subject": f"{model['asset']}.{model['name']}"} for model in status["tag_models"]]
    return {
        "schema": 1,
        "time": status["time"],
        "is_running": is_running,
        "explanations": [
            {
                "subject": item.get("subject"),
                **{name: item.get(name) for name in _TAKEN_OVER},
                "fault_lines": [line for line in item.get("fault_lines", ()) if line["since"] is not None],
            }
            for item in [*channels, *tag_models]
        ],
    }


def as_text(document: dict[str, Any], now: datetime) -> str:
    """Return a few lines for each subject."""
    lines = [] if document["is_running"] else [f"the agent does not run; as it was {ago(document['time'], now)}", ""]
    for explanation in document["explanations"]:
        lines += _explanation(explanation, now)
    return "\n".join(lines) or "nothing is scored by a model here"


def _explanation(explanation: dict[str, Any], now: datetime) -> list[str]:
    if explanation["score"] is None:
        score = "not scored"
    else:
        score = f"{explanation['verdict']}, score {explanation['score']:.3f}, limit {explanation['threshold']:.3f}"
    alarm = "  ALARM" if explanation["is_alarm"] else ""
    lines = [f"{explanation['subject']}  {explanation['model']}: {score}{alarm}"]
    reasons = explanation["pushed_by"]
    lines += [f"  {reason_in_words(reason)}" for reason in reasons]
    lines += [f"  {fault_line_in_words(line, now)}" for line in explanation["fault_lines"]]
    whose = WHOSE.get(reasons[0].get("against", "")) if reasons else "nothing is reported yet"
    return [*lines, f"  ({whose})"] if whose else lines


def _only(explanations: list[dict[str, Any]], subject: str) -> list[dict[str, Any]]:
    found = [explanation for explanation in explanations if explanation["subject"] == subject]
    if not found:
        known = ", ".join(str(explanation["subject"]) for explanation in explanations)
        raise ConfigurationError(f"nothing scored is called {subject!r}", hint=f"known: {known or 'none'}")
    return found


def _newest_status(config: Path | None) -> tuple[dict[str, Any] | None, bool]:
    path = find_settings_file(config)
    folders = folders_of(resolve_paths(read_document(path), path.parent))
    try:
        status = folders.ask()
        is_running = True
    except DaemonUnreachableError:
        status, is_running = folders.read() or {}, False
    return (status if can_show(_explained, status) else None), is_running


def _explained(status: dict[str, Any]) -> str:
    return as_text(explanations_of(status, is_running=False), datetime.now(UTC))
