"""The picture and the table of docs/DELIVERY.md, "Pace": `python -m benchmarks.uplink_picture FILE.svg`.

Draws what the benchmark `uplink.link` measures, and how three of its links are used over time; prints the table.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any, Final

from benchmarks._drain import Drained, drain
from benchmarks.uplink_link import CASES

AIM: Final = 0.8
OVER_TIME: Final = ("64kbit.3s", "1mbit.3s", "1mbit.100ms.loss20")
_STEPS: Final = 40


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.uplink_picture")
    parser.add_argument("file", type=Path)
    options = parser.parse_args(arguments)
    logging.getLogger("cloud_sync").setLevel(logging.CRITICAL)  # the outages are meant
    found = [drain(case) for case in CASES]
    print("| link | it can carry, kbit/s | used | live: median | live: 95 % |\n|---|---:|---:|---:|---:|")
    for each in found:
        print(_row(each))
    _draw(found, options.file)


def _row(found: Drained) -> str:
    possible = found.case.possible_bytes_per_s * 8 / 1e3
    live = f"{found.live_median_s:.2g} s | {found.live_p95_s:.2g} s"
    return f"| {_words(found)} | {possible:,.3g} | {found.utilisation:.0%} | {live} |"


def _words(found: Drained) -> str:
    shape = found.case.shape
    kbit_s, loss = shape.bytes_per_s * 8 / 1e3, f", {shape.loss:.0%} lost" if shape.loss else ""
    rate = next(
        f"{kbit_s / of:g} {unit}" for of, unit in ((1e6, "Gbit/s"), (1e3, "Mbit/s"), (1, "kbit/s")) if kbit_s >= of
    )
    return f"{rate}, {shape.rtt_s:g} s{loss}"


def _draw(found: list[Drained], file: Path) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "pace"
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    _draw_use(left, found)
    _draw_time(right, [each for each in found if each.case.name in OVER_TIME])
    figure.savefig(file, metadata={"Date": None})


def _draw_use(axes: Any, found: list[Drained]) -> None:
    names = [_words(each) for each in found][::-1]
    axes.barh(names, [each.utilisation for each in found][::-1], color="#4c78a8")
    axes.axvline(AIM, color="black", linewidth=0.8, linestyle="--")
    axes.set(xlim=(0, 1.05), xlabel="used of what the link can carry, start-up included")


def _draw_time(axes: Any, found: list[Drained]) -> None:
    for each in found:
        start_s, end_s = each.sizes[0][0], each.sizes[-1][0]
        step_s = (end_s - start_s) / _STEPS
        sums = [0.0] * _STEPS
        for at_s, size in each.sizes:
            sums[min(_STEPS - 1, int((at_s - start_s) / step_s))] += size
        used = [total / step_s / each.case.possible_bytes_per_s for total in sums]
        axes.plot([step_s * (n + 0.5) / 60 for n in range(_STEPS)], used, label=_words(each))
    axes.axhline(AIM, color="black", linewidth=0.8, linestyle="--")
    axes.set(ylim=(0, 1.2), xlabel="minutes after the outage", ylabel="used")
    axes.legend(loc="lower right")


if __name__ == "__main__":
    main()
