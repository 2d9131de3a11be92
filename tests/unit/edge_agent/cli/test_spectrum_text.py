"""Spectrum and level, drawn with characters."""

from __future__ import annotations

import numpy as np

from edge_agent.cli.spectrum_text import COLUMNS, draw_spectrum, meter_line


def test_a_line_stands_at_its_frequency_and_the_axis_ends_at_half_the_rate() -> None:
    frequencies = np.arange(1025.0)
    amplitude = np.full(1025, 1e-3)
    amplitude[512] = 1.0
    rows = draw_spectrum(frequencies, amplitude)
    assert max(len(row) for row in rows[:4]) == COLUMNS + 1
    assert all(row == row.rstrip() for row in rows)  # what is pasted somewhere carries no blanks
    assert rows[0].index("█") == 1 + COLUMNS * 511 // 1024
    assert rows[0].count("█") == 1
    assert set(rows[3][1:]) != {" "}
    assert rows[-1].endswith("1024 Hz")
    assert "512" in rows[-1]


def test_nothing_is_drawn_of_nothing() -> None:
    assert draw_spectrum(np.arange(100.0), np.zeros(100)) == ["(nothing but one value)"]


def test_the_meter_is_full_at_full_scale_and_fits_the_terminal() -> None:
    line = meter_line(["left", "right"], [1.0, 0.0], 60)
    assert line == f"left {'█' * 16}  right {'·' * 16}"
    assert len(meter_line([f"p{n}" for n in range(64)], [0.5] * 64, 79)) == 79
