"""The platform's audio features: the mean over time of the mel cepstrum of each window.

The chain is the one the model was trained with: the sensor's samples are resampled as `librosa.load` does (whose
default of 22,050 Hz is not the sensor's rate), then `librosa.feature.mfcc`, then the mean over frames. Each window is
a clip of its own, so its numbers depend on nothing beside it.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from edge_agent.core.features import FeatureId, FeatureSpec
from edge_agent.core.samples import Samples
from edge_agent.dsp.family_base.family import Example, Extracted, FeatureFamily, Formula
from edge_agent.dsp.family_base.parameters import Parameters
from edge_agent.dsp.family_base.windows import check_windows
from edge_agent.dsp.kernels.mel import MelCepstrum, MelParameters
from edge_agent.dsp.kernels.resample import KAISER_FAST, Resampler
from edge_agent.errors import SignalError

NAME: Final = "mfcc_mean"
MAX_MFCC: Final = 40

FORMULAS: Final = tuple(
    Formula(
        NAME,
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
        given = Parameters(NAME, spec.parameters, known=_PARAMETERS)
        given.choice("resampler", KAISER_FAST, known=(KAISER_FAST,))
        if spec.window_samples < 1:
            raise SignalError(f"an audio window must have samples, not {spec.window_samples}")
        target_rate_hz = given.positive("target_rate_hz", 22_050)
        parameters = MelParameters(
            sample_rate_hz=target_rate_hz,
            n_mfcc=given.whole("n_mfcc", 40, at_least=1),
            n_fft=given.whole("n_fft", 2048, at_least=1),
            hop_length=given.whole("hop_length", 512, at_least=1),
            n_mels=given.whole("n_mels", 128, at_least=1),
        )
        self.features: tuple[FeatureId, ...] = spec.features
        self._window_samples = spec.window_samples
        self._columns = [_coefficient(feature.name, parameters.n_mfcc) for feature in spec.features]
        self._resampler = Resampler(from_rate_hz=spec.sample_rate_hz, to_rate_hz=target_rate_hz)
        self._cepstrum = MelCepstrum(parameters)

    def extract(self, samples: Samples) -> Extracted:
        """See `Extractor.extract`."""
        check_windows(samples, self._window_samples)
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


def _coefficient(name: str, n_mfcc: int) -> int:
    for index in range(min(n_mfcc, MAX_MFCC)):
        if name == f"mfcc_{index}":
            return index
    raise SignalError(f"no audio feature is called {name}", hint=f"known: mfcc_0 to mfcc_{min(n_mfcc, MAX_MFCC) - 1}")


FAMILY: Final = FeatureFamily(
    name=NAME,
    title="Cepstrum of a sound",
    about="The platform's chain: `librosa.load` at 22,050 Hz with `kaiser_fast`, 40 coefficients, mean over 3 s.",
    build=MfccMeanExtractor,
    formulas=FORMULAS,
    parameters=_PARAMETERS,
    is_sound=True,
    example=Example(48_000),
)
