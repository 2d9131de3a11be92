"""A small workshop of real bundles per test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.scoring.bundle_workshop import AI4I, VIBRATION, Workshop, make_workshop


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return make_workshop(tmp_path / "models", VIBRATION, AI4I)
