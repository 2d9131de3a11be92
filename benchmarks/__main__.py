"""Command line of the benchmarks: a table for people, or one JSON object."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import sys
from collections.abc import Iterable

import benchmarks
from benchmarks.harness import FLOOR_SUFFIXES, LINK_PREFIX, TABLE, Result, run_all

NOT_AREAS = ("__main__", "harness")
BLAS_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Ours against baselines, in one run.")
    parser.add_argument("--json", action="store_true", help="print exactly one JSON object")
    parser.add_argument("--only", default="", metavar="PREFIX", help="run the benchmarks whose name begins so")
    options = parser.parse_args(arguments)
    _use_one_blas_thread()
    _import_areas()
    if not any(name.startswith(options.only) for name in TABLE):
        print(f"no benchmark begins with {options.only}; known: {', '.join(TABLE)}", file=sys.stderr)
        return 2
    results = run_all(prefix=options.only, say=lambda line: print(line, file=sys.stderr, flush=True))
    if options.json:
        print(json.dumps({result.name: _fields(result) for result in results}))
    else:
        _print_table(results)
    return 0


def _use_one_blas_thread() -> None:
    """Before any area imports NumPy: idle BLAS threads spin, and process CPU time counts them."""
    for variable in BLAS_THREAD_VARIABLES:
        os.environ[variable] = "1"


def _import_areas() -> None:
    """Every other module of this package registers its benchmarks as it is imported."""
    for module in pkgutil.iter_modules(benchmarks.__path__):
        if module.name not in NOT_AREAS:
            importlib.import_module(f"benchmarks.{module.name}")


def _print_table(results: Iterable[Result]) -> None:
    print(f"{'benchmark':<40}{'ours':>12}{'baseline':>12}  {'unit':<12}{'ratio':>8}")
    for result in results:
        mark = "of the floor" if result.name.endswith(FLOOR_SUFFIXES) else "times better"
        if result.name.startswith(LINK_PREFIX):
            mark = "of what the link can carry"
        sides = f"{result.ours:>12.4g}{result.baseline:>12.4g}  {result.unit:<12}"
        print(f"{result.name:<40}{sides}{result.ratio:>8.3g} {mark}", flush=True)


def _fields(result: Result) -> dict[str, float | str]:
    return {
        "ours": round(result.ours, 4),
        "baseline": round(result.baseline, 4),
        "ratio": round(result.ratio, 3),
        "unit": result.unit,
        **{name: round(value, 3) for name, value in result.also.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
