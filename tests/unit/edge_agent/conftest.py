"""A small workshop of real bundles per test, and a model whose every answer is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.pipeline.model import ScoringModel
from tests.support.bundle_workshop import AI4I, VIBRATION, Workshop, make_workshop
from tests.support.mean_model import mean_model


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return make_workshop(tmp_path / "models", VIBRATION, AI4I)


@pytest.fixture
def model() -> ScoringModel:
    return mean_model()
