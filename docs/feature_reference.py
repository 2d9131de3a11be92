"""Writes docs/FEATURES.md from the feature catalogue, and draws its pictures.

`python -m docs.feature_reference > docs/FEATURES.md`; with `--pictures` the files in docs/features are drawn anew.

Knows which recordings in tests/data show a failing and a healthy bearing; the formulas are the catalogue's own.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.core.features import FeatureSpec
from edge_agent.dsp.catalog import CATALOG, build_extractor, feature_ids
from edge_agent.dsp.family_base.family import Formula
from edge_agent.recordings import find_recordings, load_recording

ROOT: Final = Path(__file__).parents[1]
PICTURES: Final = Path(__file__).parent / "features"
BEARINGS: Final = ROOT / "tests/data/nasa_ims/2nd_test"
RATE_HZ: Final = 20_480.0
SHAFT_HZ: Final = 2000 / 60
STOPPED: Final = 2
"""The last snapshots were taken after the rig had stopped: dead channels."""
SOUNDS: Final = {
    "normal": ROOT / "tests/data/mimii/0_dB/fan/id_02/normal",
    "abnormal": ROOT / "tests/data/mimii/0_dB/fan/id_02/abnormal",
}


@dataclass(frozen=True)
class Family:
    """What the page says of one family, and how its picture is made. No window: nothing to draw."""

    title: str
    about: str
    window_samples: int = 0
    parameters: dict[str, float | str] = field(default_factory=dict)
    is_sound: bool = False


_BEARING: Final = {"n_rollers": 16, "ball_diameter": 0.331, "pitch_diameter": 2.815, "contact_angle_deg": 15.17}
FAMILIES: Final = {
    "vibration": Family(
        "The platform's vibration features",
        "What the platform's vibration champions were trained on, with its odd choices (no taper, amplitudes not"
        " divided by n). Windows of 2,048 samples.",
        2048,
    ),
    "vibration_two_axes": Family(
        "The platform's two-axis vibration features",
        "Two neighbouring channels, horizontal and vertical of one bearing, make one row; an odd number of channels is"
        " refused. The spectrum is that of at most 2,048 samples from a quarter of the burst on.",
    ),
    "time_domain": Family("Statistics in time", "Windows of 2,048 samples.", 2048),
    "spectrum": Family(
        "Calibrated spectrum",
        "Hann taper and a periodogram, or Welch's method. Parameters: `taper`, `method`, `segment_samples`, `bands_hz`"
        " (up to 16, like `10-1000,1000-5000`), `rolloff_fraction`, `n_peaks`, `harmonics`. Windows of 2,048 samples,"
        " bands 10-1000, 1000-3000, 3000-6000 and 6000-10000 Hz.",
        2048,
        {"bands_hz": "10-1000,1000-3000,3000-6000,6000-10000", "n_peaks": 2},
    ),
    "velocity": Family(
        "Vibration severity",
        "From acceleration; parameters `signal_unit` (`m/s2` or `g`), `low_hz`, `high_hz`. Calibration point: 10 m/s2"
        " RMS at 159.155 Hz is 10 mm/s. A tone on a limit of the band itself reads 10 % low, or up to 30 % where the"
        " limit falls between two bins: set low_hz clearly below the shaft's speed. Zones A to D are a table of values"
        " that you answer for"
        " (`edge_agent/reference_tables/severity_zones.toml`). Windows of one second.",
        20_480,
        {"signal_unit": "g"},
    ),
    "envelope": Family(
        "Envelope and bearing fault lines",
        "Parameters `band_low_hz`, `band_high_hz`, the bearing's geometry or orders, `shaft_hz` (or a speed per"
        " window), `n_harmonics` (3), `tolerance` (0.01). The band is cut out of the whole window's spectrum. A line's"
        " bins are round(f T) +- max(1, round(tolerance f T)), T the window in seconds; its background is the median of"
        " the 16 bins on either side beyond two guard bins, from bin 2 on. Windows of one second, band 2000-5000 Hz,"
        " Rexnord ZA-2115 at 2,000 rpm.",
        20_480,
        {"band_low_hz": 2000, "band_high_hz": 5000, "shaft_hz": SHAFT_HZ, **_BEARING},
    ),
    "spectral_kurtosis": Family(
        "Spectral kurtosis",
        "Where a signal is impulsive; `choose_band` uses it to set up the envelope. Parameter: `frame_samples` (128)."
        " Windows of one second.",
        20_480,
    ),
    "orders": Family(
        "Order spectrum",
        "Amplitudes at multiples of the shaft's speed, resampled to equal angles, as many per turn as the next power of"
        " two; parameters `shaft_hz`, or a speed per window from a tag, and `tolerance` (0.01). Windows of one second.",
        20_480,
        {"shaft_hz": SHAFT_HZ},
    ),
    "mfcc_mean": Family(
        "Cepstrum of a sound",
        "The platform's chain: `librosa.load` at 22,050 Hz with `kaiser_fast`, 40 coefficients, mean over 3 s.",
        48_000,
        is_sound=True,
    ),
    "log_mel": Family(
        "Level and mel bands of a sound", "Clips of three seconds at their own rate.", 48_000, is_sound=True
    ),
    "tag_snapshot": Family(
        "Snapshot of tags", "The newest good value of each tag by the model's own names; nothing is computed."
    ),
    "tag_history": Family(
        "History of one tag", "What the platform's lag transformer makes of a scalar sensor; scaling is in the graph."
    ),
    "tag_forecast": Family(
        "Input of a forecast", "An instant in two numbers that float32 holds exactly, and the value."
    ),
    "calendar": Family("Calendar", "Terms of an instant, UTC."),
}
HEAD: Final = """\
# Features

Every number this agent computes from signals and tags, by family, name and version. Written by
`python -m docs.feature_reference` from the catalogue that training and edge share (`edge_agent/dsp/catalog.py`); a test
holds it to the code. A changed formula is a new version: a model names the versions it was trained on.

Every feature is one number per window and channel (shape: scalar). `signal` is the unit of the samples. **Off by at
most** is how far the edge's float32 may be from the formula in float64: a share of the value, plus an amount in the
feature's unit; the tests use these numbers (`tests/unit/dsp`). A window with a sample that is not finite, a flat line,
or a feature that is undefined has no features: it is a gap, never a zero.

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
    """The page. Raises KeyError for a family this module has nothing to say about."""
    return "\n".join([HEAD, *(line for family in CATALOG.families for line in _section(family))])


def _section(family: str) -> Iterable[str]:
    about = FAMILIES[family]
    yield f"## {about.title}: `{family}`\n"
    yield about.about + "\n"
    if CATALOG.formulas(family):
        yield "| feature | version | unit | formula | source | off by at most |"
        yield "|---|---|---|---|---|---|"
        yield from (_row(line) for line in _lines(CATALOG.formulas(family)))
        yield ""
    if about.window_samples:
        yield (
            f"![{family} over the life of a bearing](features/{family}.png)\n"
            if not about.is_sound
            else (f"![{family} of a normal and an abnormal fan](features/{family}.png)\n")
        )


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
    """docs/features/<family>.png for every family that is computed from windows."""
    PICTURES.mkdir(exist_ok=True)
    snapshots = [load_recording(path, sample_rate_hz=RATE_HZ) for path in find_recordings([BEARINGS])][:-STOPPED]
    for family, about in FAMILIES.items():
        if about.is_sound:
            _draw_sounds(family, about)
        elif about.window_samples:
            _draw_trends(family, about, [snapshot.samples[:2] for snapshot in snapshots])


def _draw_trends(family: str, about: Family, snapshots: Sequence[NDArray[np.float32]]) -> None:
    from matplotlib.figure import Figure

    names = _drawn_names(family, about)
    spec = FeatureSpec(
        family, feature_ids(family, *names), RATE_HZ, about.window_samples, about.window_samples, about.parameters
    )
    extractor = build_extractor(spec)
    trend = np.stack([_snapshot_means(extractor.extract(_windows(x, about.window_samples))) for x in snapshots])
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
    figure.savefig(PICTURES / f"{family}.png", dpi=72)


def _draw_sounds(family: str, about: Family) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3), layout="constrained")
    series = ["mfcc_#"] if family == "mfcc_mean" else ["mel_mean_#", "mel_std_#"]
    for axes, pattern in zip(np.atleast_1d(figure.subplots(1, len(series))), series, strict=True):
        names = [f.name for f in CATALOG.formulas(family) if _numbered(f.name)[0] == pattern]
        for kind, folder in SOUNDS.items():
            values = np.concatenate([_sound_features(path, family, names, about) for path in find_recordings([folder])])
            middle, low, high = np.mean(values, axis=0), np.min(values, axis=0), np.max(values, axis=0)
            colour = "C0" if kind == "normal" else "C3"
            axes.plot(middle, color=colour, linewidth=1.0, label=f"{kind}: mean and range of {len(values)} windows")
            axes.fill_between(np.arange(len(names)), low, high, color=colour, alpha=0.15, linewidth=0)
        axes.set_title(f"{pattern.replace('#', 'i')} (dB) over i", fontsize="small")
        axes.tick_params(labelsize="x-small")
        axes.legend(fontsize="x-small")
    figure.savefig(PICTURES / f"{family}.png", dpi=72)


def _sound_features(path: Path, family: str, names: Sequence[str], about: Family) -> NDArray[np.float32]:
    recording = load_recording(path)
    n = about.window_samples
    spec = FeatureSpec(family, feature_ids(family, *names), recording.sample_rate_hz, n, n)
    values, is_usable = build_extractor(spec).extract(_windows(recording.samples[:1], n))
    return values[is_usable]


def _windows(samples: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """(channels, n_samples) -> (channels, windows, n), without overlap."""
    count = samples.shape[-1] // n
    return samples[:, : count * n].reshape(len(samples), count, n)


def _snapshot_means(extracted: tuple[NDArray[np.float32], NDArray[np.bool_]]) -> NDArray[np.float64]:
    values, is_usable = extracted
    return np.asarray(np.mean(np.where(is_usable[..., None], values, np.nan), axis=1, dtype=np.float64))


def _drawn_names(family: str, about: Family) -> list[str]:
    """All of a family, but of numbered ones only those the parameters ask for."""
    n_bands = len(str(about.parameters.get("bands_hz", "")).split(","))
    most = {"band": n_bands, "peak": int(about.parameters.get("n_peaks", 0))}
    names = []
    for formula in CATALOG.formulas(family):
        pattern, number = _numbered(formula.name)
        limit = most.get(pattern.split("_")[0]) if number is not None else None
        if limit is None or (number is not None and number <= limit):
            names.append(formula.name)
    return names


if __name__ == "__main__":
    if "--pictures" in sys.argv[1:]:
        draw_pictures()
    sys.stdout.write(render())
