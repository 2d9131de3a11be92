"""Which of a classifier's classes the score speaks for."""

from __future__ import annotations

from typing import Any

from converters.errors import UnsupportedModelError


def anomalous_index(classes: Any, anomalous_class: object = None) -> int:
    """Return the position of the anomalous class. Without a name the classes must be 0 (normal) and 1 (anomalous).

    Raises UnsupportedModelError when it has to be named, or is not among the classes.
    """
    known = [getattr(one, "item", lambda one=one: one)() for one in classes]
    if anomalous_class is None:
        if len(known) == 1:
            raise UnsupportedModelError(
                f"the model knows one class only, {known[0]!r}: it tells nothing apart",
                hint="train it on normal and anomalous rows",
            )
        if known != [0, 1]:
            raise UnsupportedModelError(
                f"the classes are {known}, not 0 (normal) and 1 (anomalous), so the anomalous one must be named",
                hint="name it: anomalous_class under [score] in the card",
            )
        return 1
    if anomalous_class not in known:
        raise UnsupportedModelError(
            f"the model knows no class {anomalous_class!r}; it knows {known}", hint="correct anomalous_class"
        )
    return known.index(anomalous_class)


def binary_sign(classes: Any, anomalous_class: object = None) -> float:
    """Return +1 when a two-class model's margin grows towards the anomalous class, -1 when away from it.

    Raises UnsupportedModelError for more than two classes.
    """
    if len(classes) != 2:
        raise UnsupportedModelError(
            f"the model tells {len(classes)} classes apart; a margin speaks for two",
            hint="train it on normal against anomalous, or use a RandomForestClassifier",
        )
    return 1.0 if anomalous_index(classes, anomalous_class) == 1 else -1.0
