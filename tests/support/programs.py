"""Programs that tests start and that may be missing on a machine."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def find_program(name: str, *places: str) -> str:
    """Return where a program of .ci/debian.sh is: on PATH, or else at one of `places`."""
    found = next(filter(None, map(shutil.which, (name, *places))), None)
    if found is None:
        cannot_run(f"{name} is missing; .ci/debian.sh installs it, as root")
    return found


def cannot_run(message: str) -> NoReturn:
    """Skip for an ordinary developer, who cannot install what is missing; fail for root and in CI, who can."""
    if os.geteuid() == 0 or os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)
