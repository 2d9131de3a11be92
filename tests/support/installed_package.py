"""A package of somebody else, installed for one test: modules and dist-info in a folder on the import path."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path


@contextlib.contextmanager
def installed(
    site: Path,
    modules: Mapping[str, str],
    entry_points: Mapping[str, str],
    *,
    group: str,
    package: str = "edge-example",
) -> Iterator[None]:
    """Put the package on the path. `modules` are texts by their path below `site`; `entry_points` values by name."""
    for name, text in modules.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text, encoding="utf-8")
    dist_info = site / f"{package.replace('-', '_')}-1.0.0.dist-info"
    dist_info.mkdir(parents=True)
    (dist_info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0.0\n", encoding="utf-8")
    lines = [f"{name} = {value}\n" for name, value in entry_points.items()]
    (dist_info / "entry_points.txt").write_text(f"[{group}]\n{''.join(lines)}", encoding="utf-8")
    loaded = set(sys.modules)
    sys.path.insert(0, str(site))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(site))
        for name in {name.split("/")[0].removesuffix(".py") for name in modules}:
            for module in [m for m in set(sys.modules) - loaded if m.split(".")[0] == name]:
                del sys.modules[module]
        importlib.invalidate_caches()
