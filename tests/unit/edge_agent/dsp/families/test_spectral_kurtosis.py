"""scipy.signal's short-time transform in float64 as the oracle; bursts at a known resonance; a real failing bearing."""

import numpy as np
import pytest
from scipy import signal

from edge_agent.core.features import FeatureSpec
from edge_agent.dsp.catalog import CATALOG, build_extractor, feature_ids
from edge_agent.dsp.families.spectral_kurtosis import choose_band, spectral_kurtosis
from edge_agent.errors import SignalError
from tests.support.places import TESTS

RATE_HZ = 20_480.0
N = 20_480
RUN = TESTS / "data" / "nasa_ims" / "2nd_test"
SNAPSHOTS = sorted(RUN.glob("*.gz"))
TOLERANCES = {formula.name: (formula.rtol, formula.atol) for formula in CATALOG.formulas("spectral_kurtosis")}


def spec(*names: str, n: int = N, rate_hz: float = RATE_HZ, **parameters: float | str) -> FeatureSpec:
    return FeatureSpec("spectral_kurtosis", feature_ids("spectral_kurtosis", *names), rate_hz, n, n, parameters)


def bursts(resonance_hz: float, *, n: int = N, seed: int = 3, noise: float = 0.2) -> np.ndarray:
    """A ringing of a millisecond every 1/80 s at a resonance, in noise, beside a loud steady tone."""
    x = np.zeros(n)
    x[:: round(RATE_HZ / 80)] = 1.0
    t = np.arange(300) / RATE_HZ
    ringing = np.exp(-t / 0.001) * np.sin(2 * np.pi * resonance_hz * t)
    tone = np.sin(2 * np.pi * 997.0 * np.arange(n) / RATE_HZ)
    return np.convolve(x, ringing)[:n] + tone + noise * np.random.default_rng(seed).standard_normal(n)


def oracle(x: np.ndarray, frame: int = 128) -> tuple[np.ndarray, np.ndarray]:
    frequencies, _, transform = signal.stft(
        x.astype(np.float64) - x.astype(np.float64).mean(),
        RATE_HZ,
        window="hann",
        nperseg=frame,
        noverlap=frame - frame // 4,
        boundary=None,
        padded=False,
        detrend=False,
    )
    power = np.abs(transform[2:-2]) ** 2
    return frequencies[2:-2], (power**2).mean(axis=1) / power.mean(axis=1) ** 2 - 2


@pytest.mark.parametrize("frame", [16, 128, 512])
@pytest.mark.parametrize("snapshot", SNAPSHOTS[::16], ids=lambda path: path.stem)
def test_a_real_bearing_gives_what_scipy_gives(snapshot, frame):
    x = np.loadtxt(snapshot, dtype=np.float32)[:, 0]
    frequencies, wanted = oracle(x, frame)
    values, is_usable = build_extractor(spec(frame_samples=frame)).extract(x.reshape(1, 1, -1))
    assert is_usable.all()
    for value, want, (rtol, atol) in zip(
        values[0, 0], (wanted.max(), frequencies[wanted.argmax()]), TOLERANCES.values(), strict=True
    ):
        np.testing.assert_allclose(value, want, rtol=rtol, atol=atol)
    np.testing.assert_allclose(spectral_kurtosis(x, frame_samples=frame), wanted, rtol=1e-9, atol=1e-9)


def test_there_are_recordings_to_compare_with():
    assert len(SNAPSHOTS) > 16


def test_a_recording_longer_than_a_block_gives_what_scipy_gives():
    x = np.random.default_rng(7).standard_normal(300_000)
    np.testing.assert_allclose(spectral_kurtosis(x, frame_samples=512), oracle(x, 512)[1], rtol=1e-9, atol=1e-9)


def test_noise_has_none_and_a_steady_tone_minus_one():
    noise = np.random.default_rng(1).standard_normal(N * 20)
    assert np.abs(spectral_kurtosis(noise, frame_samples=128)).max() < 0.2
    tone = np.sin(2 * np.pi * 3200.0 * np.arange(N) / RATE_HZ) + 1e-3 * noise[:N]
    assert spectral_kurtosis(tone, frame_samples=128)[20 - 2] == pytest.approx(-1.0, abs=1e-3)


@pytest.mark.parametrize("resonance_hz", [3000.0, 5200.0, 8000.0])
def test_bursts_are_found_where_they_ring_and_not_where_the_tone_is(resonance_hz):
    x = bursts(resonance_hz).astype(np.float32)
    values, _ = build_extractor(spec(frame_samples=64)).extract(x.reshape(1, 1, -1))
    assert values[0, 0, 0] > 2.0
    assert values[0, 0, 1] == pytest.approx(resonance_hz, abs=2 * RATE_HZ / 64)


@pytest.mark.parametrize("resonance_hz", [3000.0, 5200.0, 8000.0])
def test_the_chosen_band_holds_the_resonance(resonance_hz):
    low_hz, high_hz, kurtosis = choose_band(bursts(resonance_hz), RATE_HZ)
    assert low_hz < resonance_hz < high_hz
    assert low_hz > 0
    assert high_hz < RATE_HZ / 2
    assert kurtosis > 2.0


def test_the_chosen_band_is_as_wide_as_it_must_be():
    x = bursts(5200.0, noise=0.5)
    free = choose_band(x, RATE_HZ)
    wide = choose_band(x, RATE_HZ, min_bandwidth_hz=1500.0)
    assert free.high_hz - free.low_hz < 1500.0 <= wide.high_hz - wide.low_hz
    assert wide.low_hz < 5200.0 < wide.high_hz


def test_a_record_with_empty_bins_has_a_band_all_the_same():
    x = np.tile([1.0, 0.0, -1.0, 0.0], N // 4)
    assert choose_band(x, RATE_HZ).kurtosis >= -1.0


@pytest.mark.parametrize("noise", [0.3, 0.5])
def test_chance_in_a_narrow_band_does_not_win_over_bursts_in_a_wide_one(noise):
    band = choose_band(bursts(3000.0, noise=noise), RATE_HZ)
    assert band.low_hz < 3000.0 < band.high_hz


def test_a_real_failing_bearing_is_more_impulsive_than_it_was_when_healthy():
    failing = np.loadtxt(RUN / "2004.02.18.06.32.39.gz", dtype=np.float32)[:, 0]
    healthy = np.loadtxt(SNAPSHOTS[0], dtype=np.float32)[:, 0]
    assert choose_band(failing, RATE_HZ, min_bandwidth_hz=700.0).kurtosis > 3.0
    assert choose_band(healthy, RATE_HZ, min_bandwidth_hz=700.0).kurtosis < 1.5


def test_a_window_alone_gives_the_same_bits_as_among_others():
    windows = np.random.default_rng(5).standard_normal((3, 4, 4096)).astype(np.float32)
    extractor = build_extractor(spec(n=4096))
    whole, _ = extractor.extract(windows)
    for at in np.ndindex(3, 4):
        np.testing.assert_array_equal(extractor.extract(windows[at][np.newaxis, np.newaxis])[0][0, 0], whole[at])


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_broken_or_dead_sensor_is_unusable_and_its_neighbour_is_not(broken):
    windows = np.stack([bursts(5000.0)] * 4).astype(np.float32)[:, np.newaxis]
    windows[0, 0, 100] = broken
    windows[1] = 0.0
    windows[2] = 4.0
    values, is_usable = build_extractor(spec()).extract(windows)
    np.testing.assert_array_equal(is_usable[:, 0], [False, False, False, True])
    assert np.isnan(values[:3]).all()


def test_a_single_step_has_a_value_or_none_but_warns_of_nothing():
    step = np.zeros((1, 1, N), np.float32)
    step[..., N // 2 :] = 1.0
    values, is_usable = build_extractor(spec()).extract(step)
    assert np.isfinite(values).all() == is_usable.all()


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"n": 2047}, "a window of 2047 samples holds too few frames of 128"),
        ({"frame_samples": 8}, "frame_samples must be a whole number of at least 16"),
        ({"frame_samples": 64.5}, "frame_samples must be a whole number"),
        ({"frame_samples": "long"}, "frame_samples must be a number"),
        ({"hop": 8}, "spectral_kurtosis has no parameter hop"),
        ({"rate_hz": 0.0}, "sample rate must be above 0 Hz"),
    ],
)
def test_what_carries_no_kurtosis_is_refused_by_name(parameters, named):
    with pytest.raises(SignalError, match=named):
        build_extractor(spec(**parameters))


@pytest.mark.parametrize(
    ("samples", "rate_hz", "width", "named"),
    [
        (np.zeros(N), RATE_HZ, 0.0, "flat line"),
        (np.full(N, 2.5), RATE_HZ, 0.0, "flat line"),
        (np.r_[np.nan, np.ones(N)], RATE_HZ, 0.0, "not every sample is finite"),
        (np.r_[np.inf, np.ones(N)], RATE_HZ, 0.0, "not every sample is finite"),
        (np.ones(1023), RATE_HZ, 0.0, "at least 1024 samples"),
        (np.ones((2, N)), RATE_HZ, 0.0, "one channel"),
        (np.arange(N), 0.0, 0.0, "sample rate must be above 0 Hz"),
        (np.arange(N) % 7.0, RATE_HZ, 5000.0, "no band of 5000 Hz can be compared at 20480 Hz: the widest is 2560"),
    ],
)
def test_no_band_is_chosen_from_what_has_none(samples, rate_hz, width, named):
    with pytest.raises(SignalError, match=named):
        choose_band(samples, rate_hz, min_bandwidth_hz=width)
