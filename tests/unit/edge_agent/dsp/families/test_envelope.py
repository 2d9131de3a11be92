"""Modulated carriers with known answers, scipy.signal.hilbert in float64 as the oracle, and a real failing bearing."""

import numpy as np
import pytest
from scipy import signal

from edge_agent.core.features import FeatureSpec
from edge_agent.dsp.catalog import CATALOG, build_extractor, feature_ids
from edge_agent.dsp.families.envelope import EnvelopeExtractor, envelope_spectrum
from edge_agent.dsp.kernels.shaft_speed import SpeedAwareExtractor
from edge_agent.errors import SignalError
from tests.support.places import TESTS

RATE_HZ = 20_480.0
N = 20_480
SHAFT_HZ = 2000 / 60
IMS = {"n_rollers": 16, "ball_diameter": 0.331, "pitch_diameter": 2.815, "contact_angle_deg": 15.17}
BAND = {"band_low_hz": 2000.0, "band_high_hz": 9500.0}
IMS_BPFO_HZ = 236.4
RUN = TESTS / "data" / "nasa_ims" / "2nd_test"
SNAPSHOTS = sorted(RUN.glob("*.gz"))
TOLERANCES = {formula.name: (formula.rtol, formula.atol) for formula in CATALOG.formulas("envelope")}
NAMES = list(TOLERANCES)


def spec(*names: str, n: int = N, rate_hz: float = RATE_HZ, **parameters: float | str) -> FeatureSpec:
    return FeatureSpec("envelope", feature_ids("envelope", *names), rate_hz, n, n, {**BAND, **parameters})


def ims_spec(*names: str, n: int = N, **parameters: float | str) -> FeatureSpec:
    return spec(*names, n=n, **{**IMS, "shaft_hz": SHAFT_HZ, **parameters})


def features(x: np.ndarray, the_spec: FeatureSpec) -> dict[str, float]:
    values, is_usable = build_extractor(the_spec).extract(x.astype(np.float32).reshape(1, 1, -1))
    assert is_usable.all()
    return {feature.name: float(value) for feature, value in zip(the_spec.features, values[0, 0], strict=True)}


def time_s(n: int = N) -> np.ndarray:
    return np.arange(n) / RATE_HZ


def modulated(
    *, carrier_hz: float = 5000.0, line_hz: float = 200.0, depth: float = 0.5, level: float = 2.0
) -> np.ndarray:
    t = time_s()
    return level * (1 + depth * np.cos(2 * np.pi * line_hz * t)) * np.sin(2 * np.pi * carrier_hz * t)


def struck(
    line_hz: float, *, resonance_hz: float = 4500.0, noise: float = 0.5, seed: int = 2, n: int = N
) -> np.ndarray:
    """Impacts at a rate, each ringing for about a millisecond, in noise."""
    impulses = np.zeros(n)
    impulses[np.round(np.arange(0.5 / line_hz, n / RATE_HZ, 1 / line_hz) * RATE_HZ).astype(int)] = 1.0
    t = time_s(400)
    ringing = np.exp(-t / 0.001) * np.sin(2 * np.pi * resonance_hz * t)
    return np.convolve(impulses, ringing)[:n] + noise * np.random.default_rng(seed).standard_normal(n) / 10


def oracle(x: np.ndarray, *, tolerance: float = 0.01, n_harmonics: int = 3) -> dict[str, float]:
    """The same formulas over scipy.signal, written again for a reader: brick-wall FIR in the DFT, hilbert, loops."""
    n = len(x)
    x = x.astype(np.float64) - x.astype(np.float64).mean()
    frequencies = np.fft.rfftfreq(n, 1 / RATE_HZ)
    outside = (frequencies < BAND["band_low_hz"]) | (frequencies > BAND["band_high_hz"])
    transform = np.fft.rfft(x)
    transform[outside] = 0
    envelope = np.abs(signal.hilbert(np.fft.irfft(transform, n)))
    amplitude = np.sqrt(
        2 * signal.periodogram(envelope, RATE_HZ, window="hann", detrend="constant", scaling="spectrum")[1]
    )
    q = 0.331 / 2.815 * np.cos(np.radians(15.17))
    lines = {
        "bpfo": 8 * (1 - q) * SHAFT_HZ,
        "bpfi": 8 * (1 + q) * SHAFT_HZ,
        "bsf": 2.815 / 0.662 * (1 - q**2) * SHAFT_HZ,
        "ftf": 0.5 * (1 - q) * SHAFT_HZ,
    }
    wanted = {
        "envelope_rms": np.sqrt(np.mean(envelope**2)),
        "envelope_kurtosis": np.mean(envelope**4) / np.mean(envelope**2) ** 2 - 2,
    }
    for name, line_hz in lines.items():
        peaks, decibels = [], []
        for harmonic in range(1, n_harmonics + 1):
            bin_of_line = harmonic * line_hz * n / RATE_HZ
            reach = max(1, round(tolerance * bin_of_line))
            near = range(round(bin_of_line) - reach, round(bin_of_line) + reach + 1)
            beside = [*range(near[0] - 18, near[0] - 2), *range(near[-1] + 3, near[-1] + 19)]
            peaks.append(max(amplitude[k] ** 2 for k in near))
            floor = np.median([amplitude[k] ** 2 for k in beside if k >= 2]) / np.log(2)
            decibels.append(10 * np.log10(peaks[-1] / floor))
        wanted[f"{name}_amplitude"] = np.sqrt(sum(peaks))
        wanted[f"{name}_snr_db"] = np.mean(decibels)
    return wanted


def assert_as_the_oracle(got: dict[str, float], x: np.ndarray) -> None:
    wanted = oracle(x)
    for name in NAMES:
        rtol, atol = TOLERANCES[name]
        np.testing.assert_allclose(got[name], wanted[name], rtol=rtol, atol=atol, err_msg=name)


@pytest.mark.parametrize("snapshot", SNAPSHOTS[::9], ids=lambda path: path.stem)
def test_a_real_bearing_gives_what_scipy_gives(snapshot):
    x = np.loadtxt(snapshot, dtype=np.float32)[:, 0]
    assert_as_the_oracle(features(x, ims_spec()), x)


def test_there_are_recordings_to_compare_with():
    assert len(SNAPSHOTS) == 64


def test_impacts_in_noise_give_what_scipy_gives():
    x = struck(IMS_BPFO_HZ).astype(np.float32) + np.float32(3.0)
    assert_as_the_oracle(features(x, ims_spec()), x)


def test_a_fir_band_pass_and_hilbert_see_the_same_line():
    """Another road to the envelope: a filter with skirts and a transient, so the line agrees to per cents only."""
    x = struck(IMS_BPFO_HZ, noise=0.1)
    taps = signal.firwin(401, (2000, 9500), pass_zero=False, fs=RATE_HZ)
    envelope = np.abs(signal.hilbert(signal.filtfilt(taps, [1.0], x)))
    amplitude = np.sqrt(2 * signal.periodogram(envelope, RATE_HZ, window="hann", scaling="spectrum")[1])
    wanted = np.sqrt(sum(amplitude[k * 236 - 3 : k * 236 + 8].max() ** 2 for k in (1, 2, 3)))
    assert features(x, ims_spec("bpfo_amplitude"))["bpfo_amplitude"] == pytest.approx(wanted, rel=0.02)


def test_a_modulated_carrier_has_the_modulation_as_its_line():
    got = features(modulated(), spec("envelope_rms", "bpfo_amplitude", bpfo_order=8.0, shaft_hz=25.0, n_harmonics=1))
    assert got["bpfo_amplitude"] == pytest.approx(1.0, rel=1e-5)
    assert got["envelope_rms"] == pytest.approx(2.0 * np.sqrt(1 + 0.5**2 / 2), rel=1e-5)


def test_a_steady_tone_has_a_kurtosis_of_minus_one_and_noise_of_zero():
    t = time_s()
    assert features(np.sin(2 * np.pi * 5000 * t), spec("envelope_kurtosis"))["envelope_kurtosis"] == pytest.approx(-1.0)
    noise = np.random.default_rng(8).standard_normal(N)
    assert features(noise, spec("envelope_kurtosis"))["envelope_kurtosis"] == pytest.approx(0.0, abs=0.1)
    assert features(struck(50.0), spec("envelope_kurtosis"))["envelope_kurtosis"] > 3.0


def test_what_is_outside_the_band_changes_nothing():
    x = struck(IMS_BPFO_HZ)
    t = time_s()
    outside = 20 * np.sin(2 * np.pi * 50 * t) * (1 + np.cos(2 * np.pi * 236 * t)) + 9.81
    got, alone = features(x + outside, ims_spec()), features(x, ims_spec())
    for name in NAMES:
        assert got[name] == pytest.approx(alone[name], rel=1e-4, abs=1e-3), name


@pytest.mark.parametrize(("line", "hz"), [("bpfo", 236.4), ("bpfi", 296.93), ("bsf", 139.92)])
def test_the_part_that_is_struck_stands_highest(line, hz):
    got = features(struck(hz), ims_spec())
    heights = {name: got[f"{name}_snr_db"] for name in ("bpfo", "bpfi", "bsf", "ftf")}
    assert max(heights, key=heights.get) == line
    assert heights[line] > 20


def test_a_rate_one_per_cent_off_is_found_and_three_per_cent_off_is_not():
    assert features(struck(236.4 * 0.991), ims_spec("bpfo_snr_db"))["bpfo_snr_db"] > 20
    assert features(struck(236.4 * 0.965), ims_spec("bpfo_snr_db"))["bpfo_snr_db"] < 10


def test_noise_alone_reads_a_few_decibels():
    noise = np.random.default_rng(9).standard_normal((1, 40, N)).astype(np.float32)
    values, _ = build_extractor(ims_spec("bpfo_snr_db", "bpfi_snr_db", "bsf_snr_db")).extract(noise)
    assert 0.0 < values.mean() < 5.0
    assert values.max() < 10.0


def test_one_prominent_foreign_line_at_one_harmonic_does_not_speak_for_all():
    t = time_s()
    noise = np.random.default_rng(10).standard_normal(N)
    # A line at 3 x BPFI that has no first and second harmonic, 40 dB above the envelope's floor.
    stranger = (1 + 0.5 * np.cos(2 * np.pi * 890.8 * t)) * np.sin(2 * np.pi * 5000 * t) + 0.1 * noise
    got = features(stranger, ims_spec("bpfi_snr_db", n_harmonics=3))
    assert got["bpfi_snr_db"] < 25.0


def test_a_real_outer_race_stands_out_at_failure_and_not_when_healthy():
    healthy = features(np.loadtxt(SNAPSHOTS[0], dtype=np.float32)[:, 0], ims_spec())
    failing = features(np.loadtxt(RUN / "2004.02.18.06.32.39.gz", dtype=np.float32)[:, 0], ims_spec())
    assert healthy["bpfo_snr_db"] < 10
    assert failing["bpfo_snr_db"] > 25
    assert failing["bpfo_snr_db"] > max(failing["bpfi_snr_db"], failing["bsf_snr_db"], failing["ftf_snr_db"]) + 6
    assert failing["bpfo_amplitude"] > 20 * healthy["bpfo_amplitude"]


def test_the_spectrum_to_look_at_has_the_line_where_it_is():
    frequencies_hz, amplitude = envelope_spectrum(modulated(), sample_rate_hz=RATE_HZ, low_hz=2000, high_hz=9500)
    assert frequencies_hz.shape == amplitude.shape == (N // 2 + 1,)
    assert frequencies_hz[np.argmax(amplitude)] == 200.0
    assert amplitude.max() == pytest.approx(1.0, rel=1e-6)


# --- the shaft's speed, from the spec or with the windows


def test_a_speed_with_the_windows_gives_the_bits_of_the_same_speed_in_the_spec():
    windows = np.stack([struck(236.4), struck(200.0)]).astype(np.float32)[:, np.newaxis]
    extractor = build_extractor(spec(**IMS))
    assert isinstance(extractor, SpeedAwareExtractor)
    assert extractor.needs_speed
    values, is_usable = extractor.extract_at(windows, np.array([[SHAFT_HZ], [28.2]]))
    assert is_usable.all()
    for channel, shaft_hz in enumerate((SHAFT_HZ, 28.2)):
        fixed = build_extractor(ims_spec(shaft_hz=shaft_hz)).extract(windows[channel : channel + 1])[0]
        np.testing.assert_array_equal(values[channel], fixed[0])
        assert values[channel, 0, NAMES.index("bpfo_snr_db")] > 20


@pytest.mark.parametrize("shaft_hz", [0.0, -30.0, np.nan, np.inf, 0.1, 5000.0])
def test_a_window_at_a_speed_without_lines_is_unusable_and_its_neighbour_is_not(shaft_hz):
    windows = np.stack([struck(236.4)] * 2).astype(np.float32)[np.newaxis]
    values, is_usable = build_extractor(spec(**IMS)).extract_at(windows, np.array([[shaft_hz, SHAFT_HZ]], np.float32))
    np.testing.assert_array_equal(is_usable, [[False, True]])
    assert np.isnan(values[0, 0]).all()


def test_level_and_kurtosis_need_no_speed():
    extractor = build_extractor(spec("envelope_rms", "envelope_kurtosis"))
    window = struck(236.4).astype(np.float32).reshape(1, 1, -1)
    assert not extractor.needs_speed
    assert extractor.extract(window)[1].all()
    assert extractor.extract_at(window, np.array([[np.nan]]))[1].all()


def test_lines_without_any_speed_are_refused_by_name():
    with pytest.raises(SignalError, match="fixes no shaft_hz, and no speed came") as refusal:
        build_extractor(spec(**IMS)).extract(np.zeros((1, 1, N), np.float32))
    assert "tag" in refusal.value.hint


def test_speeds_of_another_shape_are_refused():
    with pytest.raises(SignalError, match=r"shaft speeds of shape \(2,\) came with windows of shape \(1, 1, 20480\)"):
        build_extractor(spec(**IMS)).extract_at(np.zeros((1, 1, N), np.float32), np.array([1.0, 2.0]))


# --- one window alone, broken windows, refusals


@pytest.mark.parametrize("n", [4096, 5001])
def test_a_window_alone_gives_the_same_bits_as_among_others(n):
    windows = np.random.default_rng(5).standard_normal((3, 4, n)).astype(np.float32)
    extractor = build_extractor(ims_spec("envelope_rms", "envelope_kurtosis", "bpfo_amplitude", "bpfi_snr_db", n=n))
    whole, is_usable = extractor.extract(windows)
    assert is_usable.all()
    for at in np.ndindex(3, 4):
        alone, _ = extractor.extract(windows[at][np.newaxis, np.newaxis])
        np.testing.assert_array_equal(alone[0, 0], whole[at])


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_broken_or_dead_sensor_is_unusable_and_its_neighbour_is_not(broken):
    windows = np.stack([struck(236.4)] * 4).astype(np.float32)[:, np.newaxis]
    windows[0, 0, 100] = broken
    windows[1] = 0.0
    windows[2] = -7.5
    values, is_usable = build_extractor(ims_spec()).extract(windows)
    np.testing.assert_array_equal(is_usable[:, 0], [False, False, False, True])
    assert np.isnan(values[:3]).all()
    assert np.isfinite(values[3]).all()


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_very_small_and_very_large_signals_have_the_same_ratios(scale):
    got = features(struck(236.4) * scale, ims_spec())
    assert got["bpfo_snr_db"] == pytest.approx(features(struck(236.4), ims_spec())["bpfo_snr_db"], abs=1e-3)


def test_no_windows_give_no_features():
    values, is_usable = build_extractor(ims_spec()).extract(np.empty((2, 0, N), np.float32))
    assert values.shape == (2, 0, 10)
    assert is_usable.shape == (2, 0)


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"band_high_hz": 10_240.0}, "a band up to 10240 Hz cannot be had at 20480 Hz"),
        ({"band_low_hz": 9500.0}, "the band must rise"),
        ({"band_low_hz": 0.0}, "band_low_hz must be above 0"),
        ({"band_low_hz": 9499.2, "band_high_hz": 9499.8}, "fewer than two lines"),
        ({"shaft_hz": 0.0}, "shaft_hz must be above 0"),
        ({"shaft_hz": -30.0}, "shaft_hz must be above 0, not -30"),
        ({"shaft_hz": float("nan")}, "shaft_hz must be a number, not nan"),
        ({"n_rollers": 0}, "n_rollers must be a whole number of at least 1"),
        ({"ball_diameter": 3.0}, "a ball of 3 does not fit a pitch diameter of 2.815"),
        ({"contact_angle_deg": 95.0}, "contact angle"),
        ({"n": 4096}, r"ftf cannot be looked for: a window of 0\.2 s holds 2\.96 periods of 14.775 Hz"),
        ({"shaft_hz": 400.0}, "bpfo cannot be looked for: harmonic 3 of 2836.8 Hz is at 8595.6 Hz"),
        ({"n_harmonics": 0}, "n_harmonics must be a whole number of at least 1"),
        ({"n_harmonics": 2.5}, "n_harmonics must be a whole number"),
        ({"tolerance": 0.5}, "tolerance is a share of the frequency"),
        ({"tolerance": -0.1}, "tolerance is a share of the frequency"),
        ({"rollers": 9}, "envelope has no parameter rollers"),
    ],
)
def test_a_parameter_it_cannot_use_is_refused_by_name(parameters, named):
    with pytest.raises(SignalError, match=named):
        build_extractor(ims_spec(**parameters))


def test_the_highest_line_needs_room_for_its_background():
    with pytest.raises(SignalError, match="has no background: its spectrum ends there"):
        build_extractor(
            spec("bpfo_snr_db", band_low_hz=10.0, band_high_hz=10_239.0, bpfo_order=1, shaft_hz=3409.0, tolerance=0.0)
        )


def test_a_line_without_a_bearing_is_refused_by_name():
    with pytest.raises(SignalError, match="bsf needs the bearing's geometry or bsf_order"):
        build_extractor(spec("bsf_snr_db", shaft_hz=30.0))


def test_a_band_must_be_given():
    with pytest.raises(SignalError, match="needs the parameter band_low_hz"):
        EnvelopeExtractor(FeatureSpec("envelope", feature_ids("envelope", "envelope_rms"), RATE_HZ, N, N))


@pytest.mark.parametrize(("n", "rate_hz", "named"), [(3, RATE_HZ, "at least 4 samples"), (N, np.nan, "above 0 Hz")])
def test_a_window_or_rate_that_is_none_is_refused(n, rate_hz, named):
    with pytest.raises(SignalError, match=named):
        build_extractor(spec("envelope_rms", n=n, rate_hz=rate_hz))
