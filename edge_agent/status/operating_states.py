"""Whether machines run, for the status document. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from edge_agent.pipeline.operating_state import AssetOperation, OperatingState
from edge_agent.status.fields import problem, rfc3339


def describe_operation(operation: AssetOperation) -> dict[str, Any]:
    """Return one machine's state, as docs/CLI_OUTPUT.md has it."""
    return {
        "asset": operation.asset,
        "state": operation.state.value,
        "since": rfc3339(operation.since_ns),
        "by": operation.by,
        "is_judged": operation.is_judged,
        "detail": f"{operation.asset} {operation.detail}",
    }


def operation_problems(operations: Iterable[AssetOperation]) -> list[dict[str, Any]]:
    """Return which machines are judged although nobody knows whether they run."""
    return [
        problem(
            f"{each.asset} {each.detail}; it is judged as if it ran",
            each.since_ns,
            f"check {each.by}, and running_tag or running_source of operating_states",
        )
        for each in operations
        if each.state is OperatingState.UNKNOWN and each.is_judged
    ]
