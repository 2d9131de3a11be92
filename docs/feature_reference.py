"""Writes docs/FEATURES.md from the feature catalogue, and draws its pictures.

`python -m docs.feature_reference > docs/FEATURES.md`; with `--pictures` the files in docs/features are drawn again.
With names of families, also of families that another package brings, it writes their sections alone.

Knows which recordings in tests/data show a failing and a healthy bearing; the formulas are the catalogue's own.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.core.features import FeatureSpec
from edge_agent.dsp.catalog import CATALOG, build_extractor, feature_ids
from edge_agent.dsp.family_base.family import Example, FeatureFamily, Formula
from edge_agent.recordings import find_recordings, load_recording

ROOT: Final = Path(__file__).parents[1]
PICTURES: Final = Path(__file__).parent / "features"
BEARINGS: Final = ROOT / "tests/data/nasa_ims/2nd_test"
RATE_HZ: Final = 20_480.0
STOPPED: Final = 2
"""The last snapshots were taken after the rig had stopped: dead channels."""
SOUNDS: Final = {
    "normal": ROOT / "tests/data/mimii/0_dB/fan/id_02/normal",
    "abnormal": ROOT / "tests/data/mimii/0_dB/fan/id_02/abnormal",
}


HEAD: Final = """\
# Features

Every number this agent computes from signals and tags, by family, name and version. Written by
`python -m docs.feature_reference` from the catalogue that training and edge share (`edge_agent/dsp/catalog.py`); a test
holds it to the code. A changed formula is a new version: a model names the versions it was trained on.

Every feature is one number per window and channel (shape: scalar). `signal` is the unit of the samples. **Off by at
most** is how far the edge's float32 may be from the formula in float64: a share of the value, plus an amount in the
feature's unit; the tests use these numbers (`tests/unit/edge_agent/dsp`). A window with a sample that is not finite, a
flat line, or a feature that is undefined has no features: it is a gap, never a zero.

The pictures show the mean of each feature over one snapshot of the run to failure in `tests/data/nasa_ims` (62
snapshots in a week): bearing 1, whose outer race fails, and bearing 2, which stays healthy. Sounds are the fan of
`tests/data/mimii`, normal and abnormal clips.
"""


@dataclass(frozen=True)
class Line:
    """A row of a table: one formula, or many that differ in their number only."""

    name: str
    formula: Formula


def render() -> str:
    """Return the page."""
    return "\n".join([HEAD, *(section(CATALOG.family(name)) for name in CATALOG.families)])


def section(family: FeatureFamily) -> str:
    """Return the section of one family: what it is, its formulas, its picture if it has an example."""
    return "\n".join(_section(family))


def _section(family: FeatureFamily) -> Iterable[str]:
    yield f"## {family.title}: `{family.name}`\n"
    yield family.about + "\n"
    if family.formulas:
        yield "| feature | version | unit | formula | source | off by at most |"
        yield "|---|---|---|---|---|---|"
        yield from (_row(line) for line in _lines(family.formulas))
        yield ""
    if family.example is not None:
        what = "of a normal and an abnormal fan" if family.is_sound else "over the life of a bearing"
        yield f"![{family.name} {what}](features/{family.name}.png)\n"


def _row(line: Line) -> str:
    f = line.formula
    cells = (f"`{line.name}`", str(f.version), f.unit or "-", f.definition, f.source, _tolerance(f))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _tolerance(formula: Formula) -> str:
    parts = [f"{formula.rtol:g} of it"] if formula.rtol else []
    parts += [f"{formula.atol:g}"] if formula.atol else []
    return " + ".join(parts) or "exact"


def _lines(formulas: Sequence[Formula]) -> Iterable[Line]:
    """Formulas in order; a numbered series as one line."""
    series: dict[tuple[object, ...], list[tuple[str, int]]] = {}
    for formula in formulas:
        pattern, number = _numbered(formula.name)
        series.setdefault(_likeness(formula, pattern, number), []).append((pattern, -1 if number is None else number))
    by_name = {formula.name: formula for formula in formulas}
    for members in series.values():
        pattern, first = members[0]
        formula = by_name[pattern.replace("#", str(first))]
        if len(members) < 4:
            yield from (Line(name, by_name[name]) for name in (p.replace("#", str(n)) for p, n in members))
        else:
            definition = re.sub(rf"\b{first}\b", "i", formula.definition)
            name = f"{pattern.replace('#', 'i')}`, i = `{first}..{members[-1][1]}"
            yield Line(name, replace(formula, definition=definition))


def _numbered(name: str) -> tuple[str, int | None]:
    found = re.fullmatch(r"(.*_)(\d+)(|_[a-z_]+)", name)
    return (f"{found[1]}#{found[3]}", int(found[2])) if found else (name, None)


def _likeness(formula: Formula, pattern: str, number: int | None) -> tuple[object, ...]:
    definition = formula.definition if number is None else re.sub(rf"\b{number}\b", "#", formula.definition)
    return pattern, formula.version, formula.unit, definition, formula.source, formula.rtol, formula.atol


def draw_pictures() -> None:
    """Draw docs/features/<family>.png for every family that has an example."""
    PICTURES.mkdir(exist_ok=True)
    snapshots = [load_recording(path, sample_rate_hz=RATE_HZ) for path in find_recordings([BEARINGS])][:-STOPPED]
    for family in map(CATALOG.family, CATALOG.families):
        if family.example is None:
            continue
        if family.is_sound:
            _draw_sounds(family, family.example)
        else:
            _draw_trends(family, family.example, [snapshot.samples[:2] for snapshot in snapshots])


def _draw_trends(family: FeatureFamily, example: Example, snapshots: Sequence[NDArray[np.float32]]) -> None:
    from matplotlib.figure import Figure

    names = _drawn_names(family, example)
    spec = FeatureSpec(
        family.name,
        feature_ids(family.name, *names),
        RATE_HZ,
        example.window_samples,
        example.window_samples,
        example.parameters,
    )
    extractor = build_extractor(spec)
    trend = np.stack([_snapshot_means(extractor.extract(_windows(x, example.window_samples))) for x in snapshots])
    rows = -(-len(names) // 3)
    figure = Figure(figsize=(12, 1.9 * rows + 0.4), layout="constrained")
    for axes, name, feature, column in zip(
        np.atleast_1d(figure.subplots(rows, 3)).flat, names, spec.features, np.moveaxis(trend, -1, 0), strict=False
    ):
        axes.plot(column[:, 1], linewidth=1.0, color="C0", label="bearing 2, healthy")
        axes.plot(column[:, 0], linewidth=1.0, color="C3", label="bearing 1, fails")
        axes.set_title(f"{name}{f' ({feature.unit})' if feature.unit else ''}", fontsize="small")
        axes.tick_params(labelsize="x-small")
    figure.axes[0].legend(fontsize="x-small")
    for axes in figure.axes[len(names) :]:
        axes.set_axis_off()
    figure.savefig(PICTURES / f"{family.name}.png", dpi=72)


def _draw_sounds(family: FeatureFamily, example: Example) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3), layout="constrained")
    patterns = [_numbered(formula.name) for formula in family.formulas]
    series = list(dict.fromkeys(pattern for pattern, number in patterns if number is not None))
    for axes, pattern in zip(np.atleast_1d(figure.subplots(1, len(series))), series, strict=True):
        names = [f.name for f in family.formulas if _numbered(f.name)[0] == pattern]
        for kind, folder in SOUNDS.items():
            values = np.concatenate(
                [_sound_features(path, family, names, example) for path in find_recordings([folder])]
            )
            middle, low, high = np.mean(values, axis=0), np.min(values, axis=0), np.max(values, axis=0)
            colour = "C0" if kind == "normal" else "C3"
            axes.plot(middle, color=colour, linewidth=1.0, label=f"{kind}: mean and range of {len(values)} windows")
            axes.fill_between(np.arange(len(names)), low, high, color=colour, alpha=0.15, linewidth=0)
        axes.set_title(f"{pattern.replace('#', 'i')} (dB) over i", fontsize="small")
        axes.tick_params(labelsize="x-small")
        axes.legend(fontsize="x-small")
    figure.savefig(PICTURES / f"{family.name}.png", dpi=72)


def _sound_features(path: Path, family: FeatureFamily, names: Sequence[str], example: Example) -> NDArray[np.float32]:
    recording = load_recording(path)
    n = example.window_samples
    spec = FeatureSpec(family.name, feature_ids(family.name, *names), recording.sample_rate_hz, n, n)
    values, is_usable = build_extractor(spec).extract(_windows(recording.samples[:1], n))
    return values[is_usable]


def _windows(samples: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """(channels, n_samples) -> (channels, windows, n), without overlap."""
    count = samples.shape[-1] // n
    return samples[:, : count * n].reshape(len(samples), count, n)


def _snapshot_means(extracted: tuple[NDArray[np.float32], NDArray[np.bool_]]) -> NDArray[np.float64]:
    values, is_usable = extracted
    return np.asarray(np.mean(np.where(is_usable[..., None], values, np.nan), axis=1, dtype=np.float64))


def _drawn_names(family: FeatureFamily, example: Example) -> list[str]:
    """All of a family, but of numbered ones only those the parameters ask for."""
    n_bands = len(str(example.parameters.get("bands_hz", "")).split(","))
    most = {"band": n_bands, "peak": int(example.parameters.get("n_peaks", 0))}
    names = []
    for formula in family.formulas:
        pattern, number = _numbered(formula.name)
        limit = most.get(pattern.split("_")[0]) if number is not None else None
        if limit is None or (number is not None and number <= limit):
            names.append(formula.name)
    return names


if __name__ == "__main__":
    if "--pictures" in sys.argv[1:]:
        draw_pictures()
    names = [argument for argument in sys.argv[1:] if argument != "--pictures"]
    sys.stdout.write("\n".join(section(CATALOG.family(name)) for name in names) if names else render())
