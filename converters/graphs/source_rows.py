"""Rows as an estimator was fitted on them: a table with column names, or a plain array."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def as_fitted(estimator: Any, rows: NDArray[np.float64]) -> Any:
    """Return `rows` (n, n_features), under the names the estimator saw when it was fitted, if it saw any."""
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        return rows
    import pandas as pd

    return pd.DataFrame(rows, columns=list(names))
