"""A model file that ends the process that opens it is refused in one line."""

from __future__ import annotations

from pathlib import Path

import lightgbm
import numpy as np
import pytest

from converters.errors import ModelFileError
from converters.inputs.model_file import read_model


@pytest.fixture(scope="module")
def text() -> str:
    rows = np.random.default_rng(0).standard_normal((300, 4))
    data = lightgbm.Dataset(rows, (rows[:, 0] + rows[:, 1] > 0).astype(int))
    booster = lightgbm.train({"objective": "binary", "verbose": -1, "num_leaves": 5}, data, num_boost_round=3)
    return str(booster.model_to_string())


@pytest.mark.parametrize("field", ["left_child", "num_leaves"])
def test_a_changed_tree_ends_a_child_and_not_the_command(tmp_path: Path, text: str, field: str) -> None:
    path = tmp_path / "model.txt"
    path.write_text(text)
    assert read_model(path).format == "LightGBM text"
    begin = text.index(f"\n{field}=") + len(field) + 2
    value = "999999999 " * 4 if field == "left_child" else "2000000000"
    path.write_text(text[:begin] + value.strip() + text[text.index("\n", begin) :])
    with pytest.raises(
        ModelFileError, match=r"model\.txt (cannot be read: the parser|is not a LightGBM model)"
    ) as caught:
        read_model(path)
    assert caught.value.hint == "save the model again and copy it whole"
