"""Loudness and mel spectrum of a clip: what a sound model can use besides, or instead of, the cepstrum.

Constraints
- `librosa.power_to_db(librosa.feature.melspectrogram(y))` with its defaults is the definition of a mel band's level
  (`mel.MelCepstrum`); mean and standard deviation are over the clip's frames.
- Each window is a clip of its own: the floor of 80 dB under its loudest cell is its own.
- The RMS level is of the samples as they come in, before any resampling, relative to full scale (a sample of 1).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from edge_agent.core.features import FeatureId, FeatureSpec
from edge_agent.core.samples import Samples
from edge_agent.dsp.family_base.family import Example, Extracted, FeatureFamily, Formula
from edge_agent.dsp.family_base.parameters import Parameters
from edge_agent.dsp.family_base.windows import (
    Row,
    Window,
    check_sampling,
    check_windows,
    columns_of,
    each_window,
)
from edge_agent.dsp.kernels.mel import MelCepstrum, MelParameters
from edge_agent.dsp.kernels.resample import KAISER_FAST, Resampler
from edge_agent.errors import SignalError

NAME: Final = "log_mel"
MAX_MELS: Final = 128

_LIBROSA: Final = "librosa 0.11: power_to_db(melspectrogram(y)), Slaney mel scale and norm, 80 dB range"
_LEVEL: Final = "10 log10(mean(x^2)) before resampling, 0 dB for a square wave between -1 and 1"
_TOLERANCE_DB: Final = 5e-4

FORMULAS: Final = (
    Formula(NAME, "rms_level", 1, "dBFS", _LEVEL, "AES17 without its 3.01 dB sine offset", 0.0, 1e-5),
    *(
        Formula(NAME, f"mel_mean_{i}", 1, "dB", f"mean over frames of mel band {i}", _LIBROSA, 0.0, _TOLERANCE_DB)
        for i in range(MAX_MELS)
    ),
    *(
        Formula(
            NAME, f"mel_std_{i}", 1, "dB", f"standard deviation over frames of mel band {i}", _LIBROSA, 0.0,
            _TOLERANCE_DB,
        )
        for i in range(MAX_MELS)
    ),
)  # fmt: skip

_PARAMETERS: Final = ("target_rate_hz", "resampler", "n_fft", "hop_length", "n_mels")


class LogMelExtractor:
    """`rms_level`, `mel_mean_i` and `mel_std_i`: parameters target_rate_hz (the sensor's own rate), resampler
    ("kaiser_fast"), n_fft (2048), hop_length (512) and n_mels (128).

    Raises
    ------
    SignalError
        Naming a parameter this family does not have or cannot use, or a band beyond n_mels.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        check_sampling(NAME, window_samples=spec.window_samples, sample_rate_hz=spec.sample_rate_hz)
        given = Parameters(NAME, spec.parameters, known=_PARAMETERS)
        given.choice("resampler", KAISER_FAST, known=(KAISER_FAST,))
        target_rate_hz = given.positive("target_rate_hz", spec.sample_rate_hz)
        n_mels = given.whole("n_mels", MAX_MELS, at_least=1)
        if n_mels > MAX_MELS:
            raise SignalError(f"{NAME}: n_mels must be at most {MAX_MELS}, not {n_mels}")
        self.features: tuple[FeatureId, ...] = spec.features
        self._columns = columns_of(spec.features, _names(n_mels))
        self._n_mels = n_mels
        self._window_samples = spec.window_samples
        self._resampler = (
            None
            if target_rate_hz == spec.sample_rate_hz
            else Resampler(from_rate_hz=spec.sample_rate_hz, to_rate_hz=target_rate_hz)
        )
        self._mel = MelCepstrum(
            MelParameters(
                sample_rate_hz=target_rate_hz,
                n_mfcc=1,
                n_fft=given.whole("n_fft", 2048, at_least=4),
                hop_length=given.whole("hop_length", 512, at_least=1),
                n_mels=n_mels,
            )
        )

    def extract(self, samples: Samples) -> Extracted:
        """See `Extractor.extract`."""
        check_windows(samples, self._window_samples)
        return each_window(samples, len(self._columns), self._row)

    def _row(self, window: Window, _: tuple[int, int]) -> Row:
        clip = window.astype(np.float32)
        decibels = self._mel.decibels(clip if self._resampler is None else self._resampler.resample(clip))
        row = np.empty(1 + 2 * self._n_mels)
        row[0] = 10.0 * np.log10(np.mean(window * window))
        row[1 : 1 + self._n_mels] = decibels.mean(axis=0, dtype=np.float64)
        row[1 + self._n_mels :] = decibels.std(axis=0, dtype=np.float64)
        return row[self._columns]


def _names(n_mels: int) -> tuple[Formula, ...]:
    """The formulas of this many bands, in the order of a row."""
    wanted = {"rms_level", *(f"mel_{kind}_{i}" for kind in ("mean", "std") for i in range(n_mels))}
    return tuple(formula for formula in FORMULAS if formula.name in wanted)


FAMILY: Final = FeatureFamily(
    name=NAME,
    title="Level and mel bands of a sound",
    about="Clips of three seconds at their own rate.",
    build=LogMelExtractor,
    formulas=FORMULAS,
    parameters=_PARAMETERS,
    default_features=("rms_level",),
    is_sound=True,
    example=Example(48_000),
)
