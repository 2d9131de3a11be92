"""Power spectra of windows: tapered, averaged over segments if wished, in float32, scaled to physical units.

Constraints
- The mean of each segment is taken out first, and what rounding leaves of it a second time: under a taper an offset of
  4000 standard deviations would else stand in the first bin.
- Bins are k = 1..floor(n/2): DC is out, the Nyquist bin of an even n is in, at half weight, because it has no mirror
  image. So without a taper the sum is the variance (Parseval).
- Lines are k = 1..ceil(n/2)-1: what the Nyquist bin shows of a sine depends on its phase, so it has no amplitude.
- Windows whose samples squared would leave float32 are first scaled by a power of two, which is exact.

The estimates are those of scipy.signal.periodogram and scipy.signal.welch (detrend="constant", half overlap, mean).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edge_agent.core.samples import Samples
from edge_agent.dsp.kernels.hann_spectrum import hann
from edge_agent.dsp.kernels.magnitude_spectrum import positive_frequencies_hz
from edge_agent.dsp.kernels.moments import Column

HANN: Final = "hann"
NO_TAPER: Final = "none"
TAPERS: Final = (HANN, NO_TAPER)

# Beyond these a squared spectrum of any ordinary length could leave float32; such windows are scaled to a peak of 1.
_SAFE_PEAK_MIN: Final = 1e-6
_SAFE_PEAK_MAX: Final = 1e12

_MAX_EXPONENT: Final = 120
"""Of the scale, so that it is a float32 itself."""


@dataclass(frozen=True, slots=True, eq=False)
class PowerSpectra:
    """Of a block of windows, one a row. `power` is float32 (n_rows, n_bins), times `power_unit` in signal^2.

    `total` is its sum over all bins. The amplitude of a line is sqrt(power) times `amplitude_unit`, in the unit of the
    signal. The units are float64 (n_rows,). Bin i is at (i + 1) * `bin_hz`; all bins but that at Nyquist are lines.
    """

    power: Samples
    total: Column
    power_unit: Column
    amplitude_unit: Column
    bin_hz: float
    n_lines: int


class Periodogram:
    """Of windows of at least `segment_samples`; equal to them for a single periodogram.

    Raises SignalError for a sample rate that is none, or fewer than four samples.
    """

    def __init__(self, *, sample_rate_hz: float, segment_samples: int, taper: str) -> None:
        n = segment_samples
        self.n_lines = len(positive_frequencies_hz(n_samples=n, sample_rate_hz=sample_rate_hz))
        self.n_bins = n // 2
        self.bin_hz = sample_rate_hz / n
        self.bin_frequencies_hz: NDArray[np.float64] = np.arange(1, self.n_bins + 1) * sample_rate_hz / n
        weights = hann(n) if taper == HANN else np.ones(n)
        self._segment = n
        self._step = n - n // 2
        self._weights = weights.astype(np.float32) if taper == HANN else None
        self._ones = np.ones(n, np.float32)
        self._power_unit = 2.0 / (n * float(np.sum(weights * weights)))
        self._amplitude_unit = 2.0 / float(np.sum(weights))

    def of(self, block: Samples, *, peak: Column) -> PowerSpectra:
        """Return the spectra of windows (n_channels, n_windows, n) whose max |x| is `peak`, in C order.

        A rest of the window that fills no segment is left out. Bad samples stay in their own window; the caller
        silences NumPy's warnings of them.
        """
        scale = _scale(peak)
        if (scale != 1.0).any():
            block = block * scale[..., np.newaxis].astype(np.float32)
        scale = scale.reshape(-1)
        power = self._mean_square(block).reshape(-1, self.n_bins)
        if self.n_bins > self.n_lines:
            power[..., -1] *= np.float32(0.5)
        total = np.vecdot(power, self._ones[: self.n_bins]).astype(np.float64)
        units = self._power_unit / (scale * scale), self._amplitude_unit / scale
        return PowerSpectra(power, total, *units, self.bin_hz, self.n_lines)

    def _mean_square(self, block: Samples) -> Samples:
        """|X|^2 of the tapered segments, averaged over the segments of a window."""
        if block.shape[-1] == self._segment:
            return self._square_magnitude(block)
        segments = sliding_window_view(block, self._segment, axis=-1)[..., :: self._step, :]
        return np.asarray(np.mean(self._square_magnitude(segments), axis=-2), dtype=np.float32)

    def _square_magnitude(self, segments: Samples) -> Samples:
        n = np.float32(self._segment)
        centred = segments - (np.vecdot(segments, self._ones) / n)[..., np.newaxis]
        centred -= (np.vecdot(centred, self._ones) / n)[..., np.newaxis]
        if self._weights is not None:
            centred *= self._weights
        # |X| and then its square: a third faster than the squares of the parts, which lie apart in memory.
        magnitude = np.abs(scipy.fft.rfft(centred, axis=-1, workers=1)[..., 1:])
        return np.asarray(np.multiply(magnitude, magnitude, out=magnitude), dtype=np.float32)


def _scale(peak: Column) -> Column:
    """A power of two per window that makes an extreme peak about 1; else 1."""
    is_extreme = ((peak < _SAFE_PEAK_MIN) | (peak > _SAFE_PEAK_MAX)) & (peak > 0) & np.isfinite(peak)
    if not is_extreme.any():
        return np.ones_like(peak)
    _, exponent = np.frexp(np.where(is_extreme, peak, 0.5))
    return np.asarray(np.ldexp(1.0, -np.clip(exponent, -_MAX_EXPONENT, _MAX_EXPONENT)))
