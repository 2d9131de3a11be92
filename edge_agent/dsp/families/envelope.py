"""Envelope analysis: how a band's amplitude changes in time, and whether it does so at a bearing's fault lines.

Constraints
- The envelope is |z|, z the analytic signal of the window's bins within the band (inclusive), its mean removed. The
  band-pass is circular: a window's end runs into its beginning, which the spectrum's Hann taper hides.
- The spectrum is that of |z|, not of |z|^2, so a line is in the unit of the samples and reads as peak amplitude.
  Squaring is cleaner in theory (Randall and Antoni 2011); over 75 recordings of a real failing outer race the two have
  the same signal to noise (median difference 0.1 dB).
- Sampling at least 2.56 times as fast as the band's upper limit is the sensor's business; the Nyquist frequency is
  refused here.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from edge_agent.core.features import FeatureSpec
from edge_agent.dsp.family_base.family import Example, FeatureFamily, Formula
from edge_agent.dsp.family_base.parameters import Parameters
from edge_agent.dsp.family_base.windows import Row, Window, check_sampling, columns_of
from edge_agent.dsp.kernels.fault_lines import LineSearch
from edge_agent.dsp.kernels.hann_spectrum import Spectrum, amplitude_spectrum, band_bins, hann, power_spectrum
from edge_agent.dsp.kernels.shaft_speed import WindowsAtSpeed, fixed_speed_hz
from edge_agent.dsp.machines.bearing import GEOMETRY_PARAMETERS, ORDER_PARAMETERS, FaultLine, orders_from
from edge_agent.errors import SignalError

NAME: Final = "envelope"
_SOURCE: Final = "Randall, Antoni, Rolling element bearing diagnostics - a tutorial, MSSP 25 (2011)"
_KURTOSIS_SOURCE: Final = "Antoni, The spectral kurtosis, MSSP 20 (2006)"

_BAND_FORMULAS: Final = (
    Formula(NAME, "envelope_rms", 1, "signal", "sqrt(mean |z|^2), z analytic in the band", _SOURCE, 1e-6),
    Formula(
        NAME,
        "envelope_kurtosis",
        1,
        "",
        "mean |z|^4 / (mean |z|^2)^2 - 2: 0 for normal noise, -1 for a steady tone",
        _KURTOSIS_SOURCE,
        1e-6,
        2e-6,
    ),
)

_PARAMETERS: Final = (
    *("band_low_hz", "band_high_hz", "shaft_hz", "n_harmonics", "tolerance"),
    *GEOMETRY_PARAMETERS,
    *ORDER_PARAMETERS,
)


def _line_formulas(line: FaultLine) -> tuple[Formula, Formula]:
    peaks = f"highest bin within +-tolerance of each harmonic of {line.value.upper()} in the Hann spectrum of |z|"
    return (
        Formula(NAME, f"{line}_amplitude", 1, "signal", f"root of the sum of squares: {peaks}", _SOURCE, 1e-6),
        Formula(
            NAME,
            f"{line}_snr_db",
            1,
            "dB",
            f"mean over harmonics of 10 log10 of power over local background (median / ln 2): {peaks}",
            _SOURCE,
            1e-6,
            1e-5,
        ),
    )


FORMULAS: Final = (*_BAND_FORMULAS, *(formula for line in FaultLine for formula in _line_formulas(line)))

_N_BAND: Final = len(_BAND_FORMULAS)


class EnvelopeExtractor(WindowsAtSpeed):
    """Level, impulsiveness and fault lines of a band's envelope.

    Parameters: band_low_hz and band_high_hz (a resonance; must be given); the bearing as n_rollers, ball_diameter,
    pitch_diameter, contact_angle_deg (0), or as bpfo_order, bpfi_order, bsf_order, ftf_order; shaft_hz, unless speeds
    come with the windows; n_harmonics (3); tolerance (0.01 of each harmonic's frequency: slip).

    Raises
    ------
    SignalError
        If the band is none or reaches the Nyquist frequency, the bearing is impossible, a line that is asked for is
        unknown, too low for the window's length, or faster than the band's envelope can change.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        parameters = Parameters(NAME, spec.parameters, known=_PARAMETERS)
        check_sampling(NAME, window_samples=spec.window_samples, sample_rate_hz=spec.sample_rate_hz)
        super().__init__(spec, shaft_hz=fixed_speed_hz(parameters))
        self._columns = columns_of(spec.features, FORMULAS)
        low_hz, high_hz = parameters.positive("band_low_hz"), parameters.positive("band_high_hz")
        self._band = envelope_band(spec.window_samples, spec.sample_rate_hz, low_hz, high_hz)
        self._search = _search(parameters, spec, high_hz - low_hz)
        self._lines = self._wanted_lines(orders_from(parameters))
        self._taper = hann(spec.window_samples)

    def _wanted_lines(self, orders: dict[FaultLine, float]) -> list[tuple[int, float]]:
        """First column and order of each line that a feature needs."""
        lines: list[tuple[int, float]] = []
        for index, line in enumerate(FaultLine):
            first = _N_BAND + 2 * index
            if first not in self._columns and first + 1 not in self._columns:
                continue
            if line not in orders:
                raise SignalError(
                    f"{NAME}: {line} needs the bearing's geometry or {line}_order",
                    hint="give n_rollers, ball_diameter and pitch_diameter, or the order from the maker's data sheet",
                )
            if self._shaft_hz is not None:
                self._search.check(line, orders[line] * self._shaft_hz)
            lines.append((first, orders[line]))
        return lines

    @property
    def needs_speed(self) -> bool:
        """See `SpeedAwareExtractor.needs_speed`."""
        return bool(self._lines) and self._shaft_hz is None

    def _window_features(self, window: Window, shaft_hz: float) -> Row:
        row = np.full(len(FORMULAS), np.nan)
        square = band_envelope_squared(window, self._band)
        mean_square = np.mean(square)
        row[0] = np.sqrt(mean_square)
        row[1] = np.mean(square * square) / mean_square**2 - 2.0
        if self._lines:
            power = power_spectrum(np.sqrt(square), self._taper)
            for first, order in self._lines:
                row[first : first + 2] = self._search.measure(power, order * shaft_hz)
        return np.asarray(row[self._columns])


def envelope_band(n_samples: int, sample_rate_hz: float, low_hz: float, high_hz: float) -> slice:
    """Return the bins of the band, limits inclusive.

    Raises SignalError for a band that is none or reaches the Nyquist bin.
    """
    if not 0 < low_hz < high_hz:
        raise SignalError(f"{NAME}: the band must rise from above 0, not {low_hz:g} to {high_hz:g} Hz")
    if high_hz >= sample_rate_hz / 2:
        raise SignalError(
            f"{NAME}: a band up to {high_hz:g} Hz cannot be had at {sample_rate_hz:g} Hz:"
            f" half of that rate is {sample_rate_hz / 2:g} Hz",
            hint=f"sample at {2.56 * high_hz:g} Hz or faster, or choose a lower band",
        )
    band = band_bins(scipy.fft.rfftfreq(n_samples, 1.0 / sample_rate_hz), low_hz, high_hz)
    if band.stop - band.start < 2:
        raise SignalError(
            f"{NAME}: the band {low_hz:g} to {high_hz:g} Hz holds fewer than two lines of a window of"
            f" {n_samples / sample_rate_hz:g} s",
            hint="use longer windows or a wider band",
        )
    return band


def band_envelope_squared(window: Window, band: slice) -> Window:
    """Return |z|^2 of the bins of the band, shape (n,) -> (n,), in the squared unit of the samples."""
    spectrum = scipy.fft.rfft(window - window.mean(), workers=1)
    analytic = np.zeros(len(window), np.complex128)
    analytic[band] = 2.0 * spectrum[band]
    z = scipy.fft.ifft(analytic, overwrite_x=True, workers=1)
    return np.asarray(z.real**2 + z.imag**2)


def envelope_spectrum(
    samples: NDArray[np.floating], *, sample_rate_hz: float, low_hz: float, high_hz: float
) -> tuple[NDArray[np.float64], Spectrum]:
    """Return frequencies in Hz and peak amplitudes of the envelope's lines, each of shape (n // 2 + 1,), to look at.

    `samples` is one finite channel, shape (n,). Raises SignalError as `EnvelopeExtractor` does.
    """
    n = samples.shape[-1]
    check_sampling(NAME, window_samples=n, sample_rate_hz=sample_rate_hz)
    band = envelope_band(n, sample_rate_hz, low_hz, high_hz)
    envelope = np.sqrt(band_envelope_squared(samples.astype(np.float64), band))
    return scipy.fft.rfftfreq(n, 1.0 / sample_rate_hz), amplitude_spectrum(envelope, hann(n))


def _search(parameters: Parameters, spec: FeatureSpec, bandwidth_hz: float) -> LineSearch:
    tolerance = parameters.number("tolerance", 0.01)
    if not 0 <= tolerance < 0.5:
        raise SignalError(f"{NAME}: tolerance is a share of the frequency, from 0 to below 0.5, not {tolerance:g}")
    return LineSearch(
        n_harmonics=parameters.whole("n_harmonics", 3, at_least=1),
        tolerance=tolerance,
        duration_s=spec.window_samples / spec.sample_rate_hz,
        n_bins=spec.window_samples // 2 + 1,
        max_hz=bandwidth_hz,
    )


_DEFAULT_LINES: Final = (FaultLine.BPFO, FaultLine.BPFI, FaultLine.BSF)
"""The cage's line (FTF) is so low that most windows do not resolve it."""

FAMILY: Final = FeatureFamily(
    name=NAME,
    title="Envelope and bearing fault lines",
    about="Parameters `band_low_hz`, `band_high_hz`, the bearing's geometry or orders, `shaft_hz` (or a speed per"
    " window), `n_harmonics` (3), `tolerance` (0.01). The band is cut out of the whole window's spectrum. A line's"
    " bins are round(f T) +- max(1, round(tolerance f T)), T the window in seconds; its background is the median of"
    " the 16 bins on either side beyond two guard bins, from bin 2 on. Windows of one second, band 2000-5000 Hz,"
    " Rexnord ZA-2115 at 2,000 rpm.",
    build=EnvelopeExtractor,
    formulas=FORMULAS,
    parameters=_PARAMETERS,
    default_features=(
        *(formula.name for formula in _BAND_FORMULAS),
        *(formula.name for line in _DEFAULT_LINES for formula in _line_formulas(line)),
    ),
    reports_max=frozenset({"envelope_kurtosis"} | {f"{line}_snr_db" for line in FaultLine}),
    speed_features=frozenset(formula.name for line in FaultLine for formula in _line_formulas(line)),
    example=Example(
        20_480,
        {
            "band_low_hz": 2000,
            "band_high_hz": 5000,
            "shaft_hz": 2000 / 60,
            "n_rollers": 16,
            "ball_diameter": 0.331,
            "pitch_diameter": 2.815,
            "contact_angle_deg": 15.17,
        },
    ),
)
