"""A package that brings a driver, installed for one test: modules and dist-info in a folder on the path."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from edge_agent.settings.source_kinds import ENTRY_POINTS, source_kinds


@contextlib.contextmanager
def installed(folder: Path, modules: Mapping[str, str], entry_points: Mapping[str, str]) -> Iterator[None]:
    """Put the package "edge-example" on the path. `modules` are texts by their path; `entry_points` values by type."""
    site = folder / "site-packages"
    for name, text in modules.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text, encoding="utf-8")
    dist_info = site / "edge_example-1.0.0.dist-info"
    dist_info.mkdir(parents=True)
    (dist_info / "METADATA").write_text("Metadata-Version: 2.1\nName: edge-example\nVersion: 1.0.0\n")
    lines = [f"{name} = {value}\n" for name, value in entry_points.items()]
    (dist_info / "entry_points.txt").write_text(f"[{ENTRY_POINTS}]\n{''.join(lines)}")
    loaded = set(sys.modules)
    sys.path.insert(0, str(site))
    _look_again()
    try:
        yield
    finally:
        sys.path.remove(str(site))
        for name in {name.split("/")[0].removesuffix(".py") for name in modules}:
            for module in [m for m in set(sys.modules) - loaded if m.split(".")[0] == name]:
                del sys.modules[module]
        _look_again()


def _look_again() -> None:
    importlib.invalidate_caches()
    source_kinds.cache_clear()
