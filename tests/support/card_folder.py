"""A folder as a data scientist hands it over: a model file, its card, healthy rows and golden rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

NAMES = ("spindle_c", "oil_c", "current_a")

CARD = """\
description = "Is a snapshot of three tags unlike the healthy days?"
split = "all rows train; nothing is left to judge by"
limits = ["A test, not a machine."]

[features]
family = "tag_snapshot"
names = ["spindle_c", "oil_c", "current_a"]
units = ["degC", "degC", "A"]

[score]
percentile = 99

[files]
healthy = "healthy.csv"
golden = "golden.csv"

[training_data]
name = "drawn numbers"
source = "this test"
licence = "none needed"
citation = "none"
part_used = "all"
"""


@dataclass(frozen=True)
class CardFolder:
    path: Path
    rows: NDArray[np.float64]

    @property
    def card(self) -> Path:
        return self.path / "model.toml"

    def change_card(self, old: str, new: str) -> None:
        text = self.card.read_text()
        assert old in text
        self.card.write_text(text.replace(old, new))

    def write_table(self, name: str, rows: NDArray[Any], header: tuple[str, ...] = NAMES) -> None:
        np.savetxt(self.path / name, rows, delimiter=",", header=",".join(header), comments="", fmt="%.17g")


def make_card_folder(path: Path) -> CardFolder:
    rows = np.random.default_rng(5).standard_normal((300, len(NAMES))) * [3, 2, 0.5] + [60, 45, 7]
    folder = CardFolder(path, rows)
    folder.card.write_text(CARD)
    folder.write_table("healthy.csv", rows)
    folder.write_table("golden.csv", rows[:12])
    return folder


def fitted_pipeline(rows: NDArray[np.float64]) -> Pipeline:
    return make_pipeline(StandardScaler(), IsolationForest(n_estimators=10, random_state=0)).fit(rows)
