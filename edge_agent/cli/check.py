"""`edge-agent check`: whether this box can carry the agent. It writes one small file, and removes it again.

Exit codes: 0 nothing to say, 1 something is to be mended, 3 the configuration is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from edge_agent.cli.host_checks import (
    Check,
    Result,
    check_agent,
    check_clock,
    check_memory,
    check_models,
    check_runtime_folder,
    check_sources,
    check_starts,
    check_state_folder,
    measure_state_folder,
)
from edge_agent.cli.link_checks import check_central
from edge_agent.health.sync_latency import SyncLatency
from edge_agent.settings import Settings
from edge_agent.settings.load import load_settings
from edge_agent.settings.toml_file import find_settings_file

EXIT_SOUND: Final = 0
EXIT_TO_MEND: Final = 1
_NAME_WIDTH: Final = 15
_RESULT_WIDTH: Final = 8


def check_box(config: Path | None, *, as_json: bool) -> int:
    """Print what each check found. Returns the exit code; raises ConfigurationError for a wrong file."""
    path = find_settings_file(config)
    settings = load_settings(path)
    checks, took = all_checks(settings)
    print(json.dumps(describe(path, checks, took)) if as_json else as_text(path, checks))
    return EXIT_SOUND if all(check.result is Result.OK for check in checks) else EXIT_TO_MEND


def all_checks(settings: Settings) -> tuple[list[Check], SyncLatency | None]:
    """Return every check, in the order in which a box is made ready, and what was measured."""
    writes, took = measure_state_folder(settings)
    checks = [
        *check_state_folder(settings),
        writes,
        check_runtime_folder(settings),
        check_memory(),
        check_clock(),
        *check_models(settings),
        *check_sources(settings),
        *check_central(settings),
        check_starts(settings),
        check_agent(settings),
    ]
    return checks, took


def describe(path: Path, checks: Sequence[Check], took: SyncLatency | None) -> dict[str, Any]:
    """Return the document of `--json`: a contract (docs/CLI_OUTPUT.md)."""
    results = {check.result for check in checks}
    worst = next(result for result in (Result.BAD, Result.WARNING, Result.OK) if result in results)
    return {
        "schema": 1,
        "file": str(path),
        "result": worst.value,
        "checks": [{"name": c.name, "result": c.result.value, "what": c.what, "do": c.do} for c in checks],
        "sync": None if took is None else {"median_s": took.median_s, "worst_s": took.worst_s, "writes": took.writes},
    }


def as_text(path: Path, checks: Sequence[Check]) -> str:
    """Return a line for each check, and below it what to do."""
    lines = [f"{path}: valid", "", f"{'CHECK':{_NAME_WIDTH}} {'RESULT':{_RESULT_WIDTH}} FOUND"]
    for check in checks:
        lines.append(f"{check.name:{_NAME_WIDTH}} {check.result.value:{_RESULT_WIDTH}} {check.what}")
        if check.do:
            lines.append(f"{'':{_NAME_WIDTH + _RESULT_WIDTH + 2}}-> {check.do}")
    return "\n".join(lines)
