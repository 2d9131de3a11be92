"""A fixed number of the seeded inputs into every door; `make fuzz` sends any number."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.fuzz.door import fuzz
from tests.fuzz.doors import DOORS

SEED = 1


@pytest.mark.parametrize("name", DOORS)
def test_a_door_gives_a_value_or_one_of_its_errors(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.CRITICAL)
    found = fuzz(DOORS[name], seed=SEED, inputs=DOORS[name].in_tests, folder=tmp_path)
    assert not found.unexpected, found.unexpected[0]
    assert found.inputs == DOORS[name].in_tests
    assert sum(found.refused.values()) or not DOORS[name].errors, "no input was one that a door refuses"
