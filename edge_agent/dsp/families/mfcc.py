"""The platform's audio features: the mean over time of the mel cepstrum of each window.

The chain is the one the model was trained with: the sensor's samples are resampled as `librosa.load` does (whose
default of 22,050 Hz is not the sensor's rate), then `librosa.feature.mfcc`, then the mean over frames. Each window is
a clip of its own, so its numbers depend on nothing beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from edge_agent.core.features import FeatureId, FeatureSpec
from edge_agent.core.samples import Samples
from edge_agent.dsp.family_base.family import Extracted, Formula
from edge_agent.dsp.kernels.mel import MelCepstrum, MelParameters
from edge_agent.dsp.kernels.resample import KAISER_FAST, Resampler
from edge_agent.errors import SignalError

MAX_MFCC: Final = 40

FORMULAS: Final = tuple(
    Formula(
        "mfcc_mean",
        f"mfcc_{i}",
        1,
        "dB",
        f"mean over frames of coefficient {i} of librosa.feature.mfcc, after librosa.load's resampling",
        "platform audio champion; librosa 0.11, resampy 0.4",
        rtol=0.0,
        atol=2e-4,
    )
    for i in range(MAX_MFCC)
)

_PARAMETERS: Final = ("target_rate_hz", "resampler", "n_mfcc", "n_fft", "hop_length", "n_mels")


class MfccMeanExtractor:
    """`mfcc_0` and on: parameters target_rate_hz (22050), resampler ("kaiser_fast"), n_mfcc (40), n_fft (2048),
    hop_length (512) and n_mels (128).

    Raises
    ------
    SignalError
        Naming a parameter this family does not have or cannot use, or a coefficient beyond n_mfcc.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        _check_parameters(spec.parameters)
        if spec.window_samples < 1:
            raise SignalError(f"an audio window must have samples, not {spec.window_samples}")
        target_rate_hz = float(spec.parameters.get("target_rate_hz", 22_050))
        parameters = MelParameters(
            sample_rate_hz=target_rate_hz,
            n_mfcc=_whole(spec.parameters, "n_mfcc", 40),
            n_fft=_whole(spec.parameters, "n_fft", 2048),
            hop_length=_whole(spec.parameters, "hop_length", 512),
            n_mels=_whole(spec.parameters, "n_mels", 128),
        )
        self.features: tuple[FeatureId, ...] = spec.features
        self._window_samples = spec.window_samples
        self._columns = [_coefficient(feature.name, parameters.n_mfcc) for feature in spec.features]
        self._resampler = Resampler(from_rate_hz=spec.sample_rate_hz, to_rate_hz=target_rate_hz)
        self._cepstrum = MelCepstrum(parameters)

    def extract(self, samples: Samples) -> Extracted:
        """See `Extractor.extract`."""
        if samples.ndim != 3 or samples.shape[-1] != self._window_samples:
            raise SignalError(
                f"these windows have shape {samples.shape}; this extractor takes"
                f" (n_channels, n_windows, {self._window_samples})",
                hint="cut the windows to the length the model was trained on",
            )
        if samples.dtype != np.float32:
            raise SignalError(f"samples must be float32, not {samples.dtype}")
        lowest, highest = samples.min(axis=-1), samples.max(axis=-1)
        is_usable = np.isfinite(lowest) & np.isfinite(highest) & (highest > lowest)
        values = np.full((*samples.shape[:2], len(self._columns)), np.nan, np.float32)
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            for channel, window in np.argwhere(is_usable):
                values[channel, window] = self._window_features(samples[channel, window])
        return values, np.asarray(np.isfinite(values).all(axis=-1), dtype=np.bool_)

    def _window_features(self, window: Samples) -> Samples:
        clip = self._resampler.resample(window)
        return np.asarray(self._cepstrum.mean_coefficients(clip)[self._columns], dtype=np.float32)


def _check_parameters(parameters: Mapping[str, float | int | str | bool]) -> None:
    unknown = [name for name in parameters if name not in _PARAMETERS]
    if unknown:
        raise SignalError(f"mfcc_mean has no parameter {', '.join(unknown)}", hint=f"known: {', '.join(_PARAMETERS)}")
    resampler = parameters.get("resampler", KAISER_FAST)
    if resampler != KAISER_FAST:
        raise SignalError(f"this agent has no resampler {resampler}", hint=f"known: {KAISER_FAST}")


def _whole(parameters: Mapping[str, float | int | str | bool], name: str, default: int) -> int:
    value = parameters.get(name, default)
    if isinstance(value, str) or not float(value).is_integer():
        raise SignalError(f"{name} must be a whole number, not {value!r}")
    return int(value)


def _coefficient(name: str, n_mfcc: int) -> int:
    for index in range(min(n_mfcc, MAX_MFCC)):
        if name == f"mfcc_{index}":
            return index
    raise SignalError(f"no audio feature is called {name}", hint=f"known: mfcc_0 to mfcc_{min(n_mfcc, MAX_MFCC) - 1}")
