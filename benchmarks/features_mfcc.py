"""Forty MFCC of a ten-second clip at 16 kHz: 2048-point frames, hop 512, 128 mel bands."""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from benchmarks.harness import Comparison, benchmark, compare
from edge_agent.dsp.kernels.mel import MelCepstrum, MelParameters

RATE_HZ = 16_000
N_FFT = 2048
HOP = 512
N_MFCC = 40


def pump_sound() -> NDArray[np.float32]:
    """A hum with harmonics in noise, ten seconds."""
    rng = np.random.default_rng(11)
    time_s = np.arange(10 * RATE_HZ) / RATE_HZ
    hum = sum(np.sin(2 * np.pi * 49.3 * k * time_s) / k for k in (1, 2, 3, 6))
    return (0.05 * hum + 0.01 * rng.standard_normal(len(time_s))).astype(np.float32)


@benchmark("features.mfcc.vs_librosa", unit="us/clip")
def vs_librosa() -> Comparison:
    """Against librosa.feature.mfcc with everything loaded, compiled and warm."""
    import librosa

    clip = pump_sound()
    cepstrum = MelCepstrum(MelParameters(RATE_HZ, n_mfcc=N_MFCC, n_fft=N_FFT, hop_length=HOP))
    return compare(
        ours=lambda: cepstrum.coefficients(clip),
        baseline=lambda: librosa.feature.mfcc(y=clip, sr=RATE_HZ, n_mfcc=N_MFCC, n_fft=N_FFT, hop_length=HOP),
    )


@benchmark("features.mfcc.vs_fft", unit="us/clip")
def vs_fft() -> Comparison:
    """Against the bare float32 transform of the same frames, which no cepstrum can be faster than."""
    clip = pump_sound()
    cepstrum = MelCepstrum(MelParameters(RATE_HZ, n_mfcc=N_MFCC, n_fft=N_FFT, hop_length=HOP))
    padded = np.pad(clip, N_FFT // 2)
    strides = (HOP * padded.itemsize, padded.itemsize)
    frames = as_strided(padded, (1 + len(clip) // HOP, N_FFT), strides, writeable=False)
    return compare(
        ours=lambda: cepstrum.coefficients(clip),
        baseline=lambda: scipy.fft.rfft(frames, axis=-1, workers=1),
    )
