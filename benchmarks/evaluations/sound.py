"""MIMII sounds: how well are normal and abnormal clips of each machine told apart by models that never heard them?

The rule, the same for every machine:
- the recipe of RandomForest_MIMII_Audio_Benchmark: mean MFCC of three seconds, StandardScaler, the platform's forest;
- a clip is judged by the mean score of its windows;
- "its own clips": a model of the machine's other clips, one clip left out at a time; only with three clips of both
  labels, else a machine's clip is its label;
- "other machines": a model of all clips of all other machines; only where both labels of this machine are there. Of one
  clip against one it is 0 or 1 and says next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from sklearn.metrics import roc_auc_score

from converters.training import mimii_audio
from converters.training.mimii_audio import Clips

_NONE: Final = "-"


def evaluate(data: Path) -> Iterator[str]:
    """Lines of the table. Raises RecordingError if there are no clips under `data`."""
    clips = mimii_audio.load_clips(data)
    teaching = mimii_audio.teaching_machines(clips)
    yield f"{'machine':<20}{'normal':>8}{'abnormal':>10}{'AUC, its own clips':>20}{'AUC, other machines':>21}"
    for machine in sorted(set(clips.machine)):
        of_machine = clips.of(machine)
        abnormal = int(clips.is_abnormal[of_machine].sum())
        normal = len(of_machine) - abnormal
        own = _own(clips, machine) if machine in teaching else _NONE
        others = _others(clips, machine) if normal and abnormal else _NONE
        yield f"{machine:<20}{normal:>8}{abnormal:>10}{own:>20}{others:>21}"


def _own(clips: Clips, machine: str) -> str:
    figures = mimii_audio.leave_one_clip_out(clips, [machine])
    (auc,) = (value for name, value in figures.items() if name.endswith("clip_roc_auc"))
    return f"{auc:.2f}"


def _others(clips: Clips, machine: str) -> str:
    heard = [index for index, name in enumerate(clips.machine) if name != machine]
    labels = clips.is_abnormal[heard]
    if labels.all() or not labels.any():
        return _NONE
    scaler, forest = mimii_audio.fit(*clips.rows(heard))
    judged = clips.of(machine)
    means = [forest.predict_proba(scaler.transform(clips.features[i]))[:, 1].mean() for i in judged]
    return f"{roc_auc_score(clips.is_abnormal[judged], np.array(means)):.2f}"
