"""What was charged to the budgets, kept across restarts: one small file, whole at any moment.

Constraints
- A file that cannot be read ends nothing: what it held is not known, and the pace's share of the period is taken for
  spent.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from cloud_sync.host.fsync import replace_file
from cloud_sync.strict_json import parse_json
from cloud_sync.uplink.budget import Budget, BudgetRule, Spent, spent_unknown

logger = logging.getLogger(__name__)

FILE_NAME: Final = "link_budget.json"
_MAX_BYTES: Final = 10_000
_SCHEMA: Final = 1
_TOLD: Final = (
    "%s cannot be read (%s): what was used of the data budget before is not known, and as much as the pace allows by "
    "now is taken for used"
)


class BudgetFile:
    """`restore` at the start; `save` now and then, which does nothing while nothing changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._saved: dict[str, Any] | None = None

    def restore(self, rules: Sequence[BudgetRule], now: datetime) -> tuple[Budget, ...]:
        """Return a budget for each rule, with what was charged before. Raises nothing."""
        try:
            before = _read(self._path)
        except FileNotFoundError:
            before = {}
        except (OSError, ValueError, KeyError, TypeError) as exc:
            logger.warning(_TOLD, self._path, exc)
            before = {rule.period.value: spent_unknown(rule, now) for rule in rules}
        return tuple(Budget(rule, now, before.get(rule.period.value)) for rule in rules)

    def save(self, budgets: Iterable[Budget]) -> None:
        """Write what was charged, when it is not what the file holds. Raises OSError."""
        document = {budget.rule.period.value: _written(budget.spent) for budget in budgets}
        if document == self._saved or not document:
            return
        replace_file(self._path, json.dumps({"schema": _SCHEMA, "spent": document}))
        self._saved = document


def _written(spent: Spent) -> dict[str, Any]:
    return {"start": spent.start.isoformat(), "used_bytes": spent.used_bytes}


def _read(path: Path) -> dict[str, Spent]:
    with path.open("rb") as file:
        text = file.read(_MAX_BYTES + 1)
    said = parse_json(text, max_bytes=_MAX_BYTES)
    if said["schema"] != _SCHEMA:
        raise ValueError(f"its schema is {said['schema']!r}")
    return {period: _spent(one) for period, one in said["spent"].items()}


def _spent(said: Mapping[str, Any]) -> Spent:
    start, used = datetime.fromisoformat(said["start"]), said["used_bytes"]
    if start.tzinfo is None or not isinstance(used, int) or used < 0:
        raise ValueError("it holds no use of a budget")
    return Spent(start, used)
