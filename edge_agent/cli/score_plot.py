"""`edge-agent score --plot`: one picture of a recording, for a person to look at.

Waveform, spectrum, envelope spectrum with the bearing's fault lines, spectrogram, and the model's score over time,
of the channel that scored highest or of the one that was asked for. Knows matplotlib, which is not part of a gateway's
installation.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.cli.score import Draw, Scored
from edge_agent.dsp.families.envelope import envelope_spectrum
from edge_agent.dsp.families.spectral_kurtosis import choose_band
from edge_agent.dsp.kernels.hann_spectrum import amplitude_spectrum, hann
from edge_agent.dsp.machines.bearing import FaultLine
from edge_agent.errors import ConfigurationError, RecordingError, SignalError
from edge_agent.reference_tables.read import read_bearings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HARMONICS: Final = 3
SUFFIXES: Final = (".png", ".svg", ".pdf")

_MOST_POINTS: Final = 20_000
"""More points than pixels draw the same picture, slowly."""
_FRAME: Final = 512
_BAND: Final = re.compile(r"(\d+(?:\.\d*)?)-(\d+(?:\.\d*)?)")


@dataclass(frozen=True, slots=True)
class PlotRequest:
    """What to draw. `channel` counts from 1; None is the one that scored highest. `lines_hz` are fault frequencies.
    `band_hz` is the envelope's; None is the most impulsive one."""

    target: Path
    channel: int | None = None
    band_hz: tuple[float, float] | None = None
    lines_hz: Mapping[str, float] = field(default_factory=dict)


def plot_request(
    target: Path, *, channel: int | None, band: str | None, bearing: str | None, shaft_hz: float | None
) -> PlotRequest:
    """Parse the command line's words. Raises ConfigurationError naming what is wrong with them."""
    _require_matplotlib()
    if target.suffix and target.suffix not in SUFFIXES:
        raise ConfigurationError(
            f"{target.name} is no picture format this command writes",
            hint=f"end the name in {', '.join(SUFFIXES)}, or give a folder for one picture per recording",
        )
    return PlotRequest(target, channel, _band_of(band), _lines_of(bearing, shaft_hz))


def drawing(request: PlotRequest) -> Draw:
    """Draw each recording: into the target file, or into the target folder by the recording's name."""
    drawn: dict[Path, Path] = {}

    def draw(scored: Scored) -> None:
        target = _target(request.target, scored.path)
        if target in drawn:
            raise RecordingError(
                f"{scored.path}: {target} holds the picture of {drawn[target]} already",
                hint="give a folder to --plot, and recordings of different names",
            )
        _save(picture(scored, request), target)
        print(f"wrote {target}", file=sys.stderr)
        drawn[target] = scored.path

    return draw


def _target(given: Path, recording: Path) -> Path:
    """Recordings of different folders often have one name: the folder's comes first."""
    return given if given.suffix else given / f"{recording.resolve().parent.name}-{recording.name}.png"


def picture(scored: Scored, request: PlotRequest) -> Figure:
    """Draw the five views of one channel. Raises RecordingError for one that is missing or has nothing to show."""
    from matplotlib.figure import Figure

    channel = _channel(scored, request.channel)
    samples = scored.recording.samples[channel]
    if not np.isfinite(samples).all() or samples.max() == samples.min():
        raise RecordingError(
            f"{scored.path}: channel {channel + 1} is constant or not finite: there is nothing to draw",
            hint="choose another one with --channel",
        )
    figure = Figure(figsize=(12, 13), layout="constrained")
    axes: dict[str, Axes] = figure.subplot_mosaic(
        [["wave", "wave"], ["spectrum", "envelope"], ["gram", "gram"], ["score", "score"]]
    )
    _draw_waveform(axes["wave"], scored, samples)
    _draw_spectrum(axes["spectrum"], scored, samples)
    _draw_envelope(axes["envelope"], scored, samples, request)
    _draw_spectrogram(axes["gram"], scored, samples)
    _draw_score(axes["score"], scored, channel)
    name = scored.recording.channel_names[channel]
    figure.suptitle(
        f"{scored.path.name}, channel {channel + 1} ({name}): {scored.scores.model_name} {_verdict(scored, channel)}"
    )
    return figure


def _draw_waveform(axes: Axes, scored: Scored, samples: NDArray[np.float32]) -> None:
    time_s = np.arange(len(samples)) / scored.recording.sample_rate_hz
    step = max(1, len(samples) // _MOST_POINTS)
    if step == 1:
        axes.plot(time_s, samples, linewidth=0.5)
    else:  # the lowest and highest of each stretch: a peak must not fall between two points
        whole = samples[: len(samples) // step * step].reshape(-1, step)
        axes.fill_between(time_s[: len(whole) * step : step], whole.min(axis=1), whole.max(axis=1), linewidth=0.5)
    axes.set(title="waveform", xlabel="s", ylabel=_unit(scored), xlim=(0, scored.recording.duration_s))


def _draw_spectrum(axes: Axes, scored: Scored, samples: NDArray[np.float32]) -> None:
    rate_hz = scored.recording.sample_rate_hz
    amplitudes = amplitude_spectrum(samples.astype(np.float64), hann(len(samples)))
    frequencies_hz = np.arange(len(amplitudes)) * rate_hz / len(samples)
    axes.plot(frequencies_hz[1:], amplitudes[1:], linewidth=0.5)
    axes.set(title="spectrum (Hann)", xlabel="Hz", ylabel=f"{_unit(scored)} peak", xlim=(0, rate_hz / 2))
    axes.set_ylim(bottom=0)


def _draw_envelope(axes: Axes, scored: Scored, samples: NDArray[np.float32], request: PlotRequest) -> None:
    rate_hz = scored.recording.sample_rate_hz
    highest_line_hz = max(request.lines_hz.values(), default=0.0) * HARMONICS
    try:
        if request.band_hz is None:
            low_hz, high_hz, _ = choose_band(samples, rate_hz, min_bandwidth_hz=1.2 * highest_line_hz)
        else:
            low_hz, high_hz = request.band_hz
        frequencies_hz, amplitudes = envelope_spectrum(samples, sample_rate_hz=rate_hz, low_hz=low_hz, high_hz=high_hz)
    except SignalError as exc:
        raise RecordingError(f"{scored.path}: {exc.message}", hint=exc.hint) from exc
    shown_hz = min(highest_line_hz * 1.2 or 500.0, high_hz - low_hz)
    shown = slice(1, int(np.searchsorted(frequencies_hz, shown_hz)) + 1)
    axes.plot(frequencies_hz[shown], amplitudes[shown], linewidth=0.6)
    for number, (name, line_hz) in enumerate(request.lines_hz.items()):
        for harmonic in range(1, HARMONICS + 1):
            axes.axvline(
                harmonic * line_hz,
                color=f"C{number + 1}",
                linewidth=1.0,
                alpha=0.8 if harmonic == 1 else 0.35,
                linestyle="--",
                label=f"{name} {line_hz:.1f} Hz" if harmonic == 1 else None,
            )
    chosen = "most impulsive band" if request.band_hz is None else "band"
    axes.set(
        title=f"envelope spectrum, {chosen} {low_hz:.0f} to {high_hz:.0f} Hz",
        xlabel="Hz",
        ylabel=f"{_unit(scored)} peak",
        xlim=(0, shown_hz),
    )
    axes.set_ylim(bottom=0)
    if request.lines_hz:
        axes.legend(loc="upper right", fontsize="small")


def _draw_spectrogram(axes: Axes, scored: Scored, samples: NDArray[np.float32]) -> None:
    frame = min(_FRAME, 2 ** int(math.log2(len(samples) / 8)))
    with np.errstate(divide="ignore"):
        levels, *_, image = axes.specgram(
            samples.astype(np.float64), NFFT=frame, noverlap=frame // 2, Fs=scored.recording.sample_rate_hz
        )
    top = 10.0 * float(np.log10(levels.max()))
    image.set_clim(top - 80.0, top)
    axes.figure.colorbar(image, ax=axes, label="dB", pad=0.01)
    axes.set(title="spectrogram, 80 dB below its loudest cell", xlabel="s", ylabel="Hz")
    axes.set_xlim(0, scored.recording.duration_s)


def _draw_score(axes: Axes, scored: Scored, channel: int) -> None:
    start_ns = scored.recording.start_ns or 0
    ends_s = (scored.scores.end_ns - start_ns) / 1e9
    values = scored.scores.values[channel // scored.channels_per_row]
    axes.plot(ends_s, values, marker=".", linewidth=0.8, label="score at the end of each window")
    axes.axhline(scored.scores.threshold, color="C3", linestyle="--", linewidth=1.0, label="limit")
    axes.set(title="score, higher is more anomalous", xlabel="s", xlim=(0, scored.recording.duration_s))
    axes.legend(fontsize="small")


def _channel(scored: Scored, wanted: int | None) -> int:
    n_channels = scored.recording.n_channels
    if wanted is not None:
        if not 1 <= wanted <= n_channels:
            raise RecordingError(f"{scored.path} has channels 1 to {n_channels}, not {wanted}")
        return wanted - 1
    values = np.where(np.isnan(scored.scores.values), -np.inf, scored.scores.values)
    return int(np.argmax(values.max(axis=1))) * scored.channels_per_row if values.size else 0


def _verdict(scored: Scored, channel: int) -> str:
    values = scored.scores.values[channel // scored.channels_per_row]
    scored_values = values[np.isfinite(values)]
    anomalous = int(np.count_nonzero(scored_values > scored.scores.threshold))
    return f"calls {anomalous} of {len(scored_values)} windows anomalous"


def _unit(scored: Scored) -> str:
    return scored.recording.unit or "as recorded"


def _save(figure: Figure, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(target, dpi=110)
    except OSError as exc:
        raise RecordingError(f"{target} cannot be written: {exc.strerror or exc}") from exc


def _band_of(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    found = _BAND.fullmatch(text)
    if found is None or float(found[1]) >= float(found[2]):
        raise ConfigurationError(f"--band must be like 2000-5000 (Hz, rising), not {text!r}")
    return float(found[1]), float(found[2])


def _lines_of(bearing: str | None, shaft_hz: float | None) -> dict[str, float]:
    if bearing is None:
        return {}
    if shaft_hz is None:
        raise ConfigurationError(
            "fault lines need both --bearing and --shaft-hz", hint="the shaft's speed in revolutions per second"
        )
    known = read_bearings()
    if bearing not in known:
        raise ConfigurationError(f"no bearing is called {bearing!r}", hint=f"known: {', '.join(known)}")
    geometry = known[bearing].geometry
    return {line.value.upper(): geometry.order(line) * shaft_hz for line in FaultLine}


def _require_matplotlib() -> Any:
    try:
        import matplotlib  # noqa: F401
    except ImportError as exc:
        raise ConfigurationError(
            "pictures need matplotlib, which a gateway does not carry",
            hint="pip install 'smart-maintenance-edge[plot]', or use the environment of `make install`",
        ) from exc
