"""Units as people write them, and what becomes what."""

from __future__ import annotations

import pytest

from edge_agent.recordings.units import factor_between, known_unit, unit_in_name


@pytest.mark.parametrize(
    ("written", "unit"),
    [
        ("m/s\u00b2", "m/s2"), ("m/s^2", "m/s2"), ("m s-2", "m/s2"), ("G", "g"), ("mg", "mg"), ("\u00b5m", "um"),
        ("\u03bcm", "um"), ("ips", "in/s"), ("\u00b0C", "degC"), ("mV", "mV"), ("MV", None), ("Volts", "V"), ("", None),
        ("widget", None), ("mm/s", "mm/s"), ("Pa", "Pa"),
    ],
)  # fmt: skip
def test_a_unit_is_known_in_its_usual_spellings(written: str, unit: str | None) -> None:
    assert known_unit(written) == unit


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("de x [g]", "g"), ("acc (m/s\u00b2)", "m/s2"), ("acc in mg", "mg"), ("acc_ms2", "m/s2"),
        ("a / (m/s2)", "m/s2"),
        ("Acc_g", "g"), ("T1 [\u00b0C]", "degC"), ("x [furlong]", "furlong"), ("acc (left)", ""), ("motor A", ""),
        ("x min", ""), ("mic in", ""), ("ch [1]", ""), ("acc", ""),
    ],
)  # fmt: skip
def test_a_name_carries_its_unit_only_where_it_is_one_for_certain(name: str, unit: str) -> None:
    assert unit_in_name(name) == unit


def test_what_measures_the_same_is_converted_and_nothing_else() -> None:
    assert factor_between("m/s2", "g") == pytest.approx(1 / 9.80665)
    assert factor_between("mg", "g") == pytest.approx(1e-3)
    assert factor_between("ips", "mm/s") == pytest.approx(25.4)
    assert factor_between("g", "g") == factor_between("furlong", "furlong") == 1.0
    for other in ("V", "mm/s", "degC", "counts", "FS", "furlong"):
        assert factor_between(other, "g") is None
