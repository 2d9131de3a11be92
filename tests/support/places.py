"""Where things lie in the repository."""

from __future__ import annotations

from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parents[2]
TESTS: Final = REPOSITORY / "tests"
SHIPPED_MODELS: Final = REPOSITORY / "models_onnx"
