"""Sines at multiples of a known speed, and the Fourier integral at an exact frequency as the oracle."""

import numpy as np
import pytest
from scipy import interpolate, signal

from edge_agent.core.features import FeatureSpec
from edge_agent.dsp.catalog import CATALOG, build_extractor, feature_ids
from edge_agent.dsp.families.orders import at_equal_angles, order_spectrum
from edge_agent.dsp.kernels.shaft_speed import SpeedAwareExtractor
from edge_agent.errors import SignalError
from tests.support.places import TESTS

RATE_HZ = 20_480.0
N = 20_480
SHAFT_HZ = 33.37
SNAPSHOTS = sorted((TESTS / "data" / "nasa_ims").rglob("*.gz"))
RTOL = {formula.name: formula.rtol for formula in CATALOG.formulas("orders")}
ORDERS = [0.5, *range(1, 11)]


def spec(*names: str, n: int = N, rate_hz: float = RATE_HZ, **parameters: float | str) -> FeatureSpec:
    return FeatureSpec("orders", feature_ids("orders", *names), rate_hz, n, n, parameters)


def machine(shaft_hz: float, amplitudes: dict[float, float], *, n: int = N, noise: float = 0.0) -> np.ndarray:
    t = np.arange(n) / RATE_HZ
    x = sum(a * np.sin(2 * np.pi * order * shaft_hz * t + order) for order, a in amplitudes.items())
    return (x + noise * np.random.default_rng(1).standard_normal(n)).astype(np.float32)


def one(x: np.ndarray, *names: str, **parameters: float | str) -> np.ndarray:
    values, is_usable = build_extractor(spec(*names, n=len(x), **parameters)).extract(x.reshape(1, 1, -1))
    assert is_usable.all()
    return values[0, 0]


def oracle(x: np.ndarray, shaft_hz: float, tolerance: float = 0.01) -> list[float]:
    """The same by scipy: Lagrange's cubic through each four samples, then signal.periodogram."""
    x = x.astype(np.float64)
    turns = 2 * int(len(x) / RATE_HZ * shaft_hz / 2)
    per_turn = 2 ** int(np.ceil(np.log2(RATE_HZ / shaft_hz)))
    places = np.arange(turns * per_turn) / per_turn / shaft_hz * RATE_HZ
    first = np.clip(places.astype(int) - 1, 0, len(x) - 4)
    offsets = places - first
    basis = [interpolate.lagrange(range(4), np.eye(4)[k]) for k in range(4)]
    turned = sum(basis[k](offsets) * x[first + k] for k in range(4))
    spectrum = np.sqrt(2 * signal.periodogram(turned, per_turn, window="hann", scaling="spectrum")[1])
    out = []
    for order in ORDERS:
        reach = int(np.floor(tolerance * order * turns))
        centre = round(order * turns)
        out.append(spectrum[centre - reach : centre + reach + 1].max())
    return out


@pytest.mark.parametrize("snapshot", SNAPSHOTS[::16], ids=lambda path: path.stem)
def test_a_real_rig_gives_what_scipy_gives(snapshot):
    x = np.loadtxt(snapshot, dtype=np.float32)[:, 0]
    np.testing.assert_allclose(one(x, shaft_hz=SHAFT_HZ), oracle(x, SHAFT_HZ), rtol=RTOL["order_1"])


def test_there_are_recordings_to_compare_with():
    assert len(SNAPSHOTS) > 16


@pytest.mark.parametrize("shaft_hz", [8.13, 24.95, 33.37, 50.0, 100.7])
def test_each_order_has_its_own_amplitude(shaft_hz):
    amplitudes = {0.5: 0.3, 1: 2.0, 2: 1.0, 3: 0.5, 7: 0.25, 10: 0.1}
    got = one(machine(shaft_hz, amplitudes), shaft_hz=shaft_hz)
    np.testing.assert_allclose(got, [amplitudes.get(order, 0.0) for order in ORDERS], rtol=1e-3, atol=1e-4)


def test_at_a_tenth_of_the_rate_interpolation_costs_less_than_four_tenths_of_a_per_cent():
    shaft_hz = 204.8
    assert one(machine(shaft_hz, {10: 1.0}), "order_10", shaft_hz=shaft_hz)[0] == pytest.approx(1.0, rel=4e-3)


def test_an_offset_is_no_order():
    x = machine(SHAFT_HZ, {1: 1.0})
    np.testing.assert_allclose(one(x + np.float32(9.81), shaft_hz=SHAFT_HZ), one(x, shaft_hz=SHAFT_HZ), atol=1e-5)


def test_a_speed_that_is_a_little_wrong_still_finds_a_high_order():
    x = machine(SHAFT_HZ, {10: 1.0})
    assert one(x, "order_10", shaft_hz=SHAFT_HZ * 1.008)[0] > 0.8
    assert one(x, "order_10", shaft_hz=SHAFT_HZ * 1.008, tolerance=0.0)[0] < 0.2


def test_half_an_order_falls_on_a_bin_also_where_turns_would_be_odd():
    # 33.37 turns: 33 whole ones are odd, so 32 are used.
    turned, n_turns = at_equal_angles(machine(SHAFT_HZ, {0.5: 1.0}), sample_rate_hz=RATE_HZ, shaft_hz=SHAFT_HZ)
    assert n_turns == 32
    assert len(turned) == 32 * 1024


def test_a_run_up_smears_in_hertz_and_stands_still_in_orders():
    speeds = np.linspace(20.0, 40.0, N)
    angle = 2 * np.pi * np.cumsum(speeds) / RATE_HZ
    x = np.sin(3 * angle)
    amplitudes, n_turns = order_spectrum(x, sample_rate_hz=RATE_HZ, shaft_hz=speeds)
    assert np.argmax(amplitudes) / n_turns == 3.0
    assert amplitudes.max() == pytest.approx(1.0, rel=1e-3)
    assert np.sqrt(2 * signal.periodogram(x, RATE_HZ, window="hann", scaling="spectrum")[1]).max() < 0.5


def test_a_steady_speed_at_every_sample_gives_what_the_speed_alone_gives():
    x = machine(SHAFT_HZ, {1: 1.0, 4: 0.5}, noise=0.1)
    alone, _ = order_spectrum(x, sample_rate_hz=RATE_HZ, shaft_hz=SHAFT_HZ)
    each, _ = order_spectrum(x, sample_rate_hz=RATE_HZ, shaft_hz=np.full(N, SHAFT_HZ))
    np.testing.assert_allclose(each, alone, atol=1e-9)


# --- the shaft's speed with the windows


def test_a_speed_with_the_windows_gives_the_bits_of_the_same_speed_in_the_spec():
    windows = np.stack([machine(hz, {1: 1.0, 2: 0.5}, noise=0.1) for hz in (25.0, 47.3)])[:, np.newaxis]
    extractor = build_extractor(spec())
    assert isinstance(extractor, SpeedAwareExtractor)
    assert extractor.needs_speed
    values, is_usable = extractor.extract_at(windows, np.array([[25.0], [47.3]]))
    assert is_usable.all()
    for channel, hz in enumerate((25.0, 47.3)):
        np.testing.assert_array_equal(values[channel, 0], one(windows[channel, 0], shaft_hz=hz))
        assert values[channel, 0, 1] == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize("shaft_hz", [0.0, -30.0, np.nan, np.inf, 3.9, 205.0])
def test_a_window_at_a_speed_without_orders_is_unusable_and_its_neighbour_is_not(shaft_hz):
    windows = np.stack([machine(25.0, {1: 1.0})] * 2)[np.newaxis]
    values, is_usable = build_extractor(spec()).extract_at(windows, np.array([[shaft_hz, 25.0]]))
    np.testing.assert_array_equal(is_usable, [[False, True]])
    assert np.isnan(values[0, 0]).all()


def test_orders_without_any_speed_are_refused_by_name():
    with pytest.raises(SignalError, match="orders: the spec fixes no shaft_hz"):
        build_extractor(spec()).extract(np.zeros((1, 1, N), np.float32))


def test_speeds_of_another_shape_are_refused():
    with pytest.raises(SignalError, match=r"shaft speeds of shape \(1,\)"):
        build_extractor(spec()).extract_at(np.zeros((1, 1, N), np.float32), np.array([25.0]))


# --- one window alone, broken windows, refusals


def test_a_window_alone_gives_the_same_bits_as_among_others():
    windows = np.random.default_rng(5).standard_normal((3, 4, 8192)).astype(np.float32)
    extractor = build_extractor(spec(n=8192, shaft_hz=SHAFT_HZ))
    whole, is_usable = extractor.extract(windows)
    assert is_usable.all()
    for at in np.ndindex(3, 4):
        np.testing.assert_array_equal(extractor.extract(windows[at][np.newaxis, np.newaxis])[0][0, 0], whole[at])


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_broken_or_dead_sensor_is_unusable_and_its_neighbour_is_not(broken):
    windows = np.stack([machine(25.0, {1: 1.0})] * 4)[:, np.newaxis]
    windows[0, 0, 100] = broken
    windows[1] = 0.0
    windows[2] = 4.0
    values, is_usable = build_extractor(spec(shaft_hz=25.0)).extract(windows)
    np.testing.assert_array_equal(is_usable[:, 0], [False, False, False, True])
    assert np.isnan(values[:3]).all()


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"shaft_hz": 0.0}, "shaft_hz must be above 0"),
        ({"shaft_hz": -25.0}, "shaft_hz must be above 0, not -25"),
        ({"shaft_hz": float("nan")}, "shaft_hz must be a number"),
        ({"shaft_hz": 3.9}, r"orders of 3\.9 Hz cannot be had: a window of 1 s holds 3\.9 turns, and 4 are needed"),
        ({"shaft_hz": 205.0}, "order 10 is at 2050 Hz, above a tenth of 20480 Hz"),
        ({"tolerance": 0.2, "shaft_hz": 25.0}, "tolerance is a share of the order"),
        ({"tolerance": float("inf"), "shaft_hz": 25.0}, "tolerance must be a number"),
        ({"max_order": 20}, "orders has no parameter max_order"),
        ({"rate_hz": -1.0}, "sample rate must be above 0 Hz"),
        ({"n": 2}, "at least 4 samples"),
    ],
)
def test_a_parameter_it_cannot_use_is_refused_by_name(parameters, named):
    with pytest.raises(SignalError, match=named):
        build_extractor(spec(**parameters))


def test_fewer_orders_allow_a_faster_shaft():
    assert build_extractor(spec("order_1", "order_2", shaft_hz=1000.0)).features


@pytest.mark.parametrize(
    ("shaft_hz", "named"),
    [
        (0.0, "must be above 0 Hz throughout"),
        (np.r_[-1.0, np.ones(N - 1)], "must be above 0 Hz throughout"),
        (np.r_[np.nan, np.ones(N - 1)], "must be above 0 Hz throughout"),
        (np.ones(5), r"speeds of shape \(5,\) came with 20480 samples"),
        (1.9, "1.9 turns are too few"),
    ],
)
def test_a_shaft_that_does_not_turn_has_no_angles(shaft_hz, named):
    with pytest.raises(SignalError, match=named):
        at_equal_angles(np.ones(N), sample_rate_hz=RATE_HZ, shaft_hz=shaft_hz)
