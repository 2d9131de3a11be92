"""A package that brings a driver, installed for one test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from edge_agent.settings.source_kinds import ENTRY_POINTS, source_kinds
from tests.support import installed_package


@contextlib.contextmanager
def installed(folder: Path, modules: Mapping[str, str], entry_points: Mapping[str, str]) -> Iterator[None]:
    """Put the package "edge-example" on the path, and look for drivers again before and after."""
    with installed_package.installed(folder / "site-packages", modules, entry_points, group=ENTRY_POINTS):
        source_kinds.cache_clear()
        try:
            yield
        finally:
            source_kinds.cache_clear()
