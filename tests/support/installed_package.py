"""A package of somebody else, installed for one test: modules and dist-info in a folder on the import path."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path


@contextlib.contextmanager
def installed(
    folder: Path, modules: Mapping[str, str], entry_points: Mapping[str, str], *, group: str, package: str = "example"
) -> Iterator[None]:
    """Put the package on the path. `modules` are texts by their name; `entry_points` values by theirs."""
    info = folder / f"{package}-1.0.0.dist-info"
    info.mkdir(parents=True)
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0.0\n", encoding="utf-8")
    lines = [f"{name} = {value}\n" for name, value in entry_points.items()]
    (info / "entry_points.txt").write_text(f"[{group}]\n{''.join(lines)}", encoding="utf-8")
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in modules:
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
