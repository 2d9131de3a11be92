"""The tables and recordings a card names: rows of features, and golden inputs with their features.

Constraints
- Columns of a CSV are found by the features' names; an unnamed column or a missing one is refused, never guessed.
- Golden features come from the source libraries (converters.proof.reference_features) or from a file the source wrote,
  never from the agent's own code, which they are there to prove.
"""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from converters.card import Card
from converters.errors import CardError
from edge_agent.bundles.manifest import FeatureEntry, FeatureSpecEntry, Tolerances
from edge_agent.dsp.catalog import CATALOG, feature_ids
from edge_agent.errors import SignalError
from edge_agent.recordings import load_recording

Rows = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class GoldenInputs:
    """`key` and `inputs` as golden.npz holds them; `features` (..., n_features) by the source."""

    key: str
    inputs: NDArray[np.float32]
    features: Rows


def feature_spec(card: Card) -> FeatureSpecEntry:
    """Return the spec, with the newest version of each formula.

    Raises CardError for a family or feature the agent has not.
    """
    entry = card.features
    try:
        entries = _entries(entry.family, entry.names, entry.units)
        spec = FeatureSpecEntry(
            extractor=entry.family,
            features=entries,
            sample_rate_hz=entry.sample_rate_hz,
            window_samples=entry.window_samples,
            hop_samples=entry.hop_samples,
            parameters=entry.parameters,
        )
        CATALOG.build(spec.to_spec())
    except SignalError as exc:
        raise CardError(f"features: {exc.message}", where="features", hint=exc.hint) from exc
    return spec


def tolerances(card: Card) -> Tolerances:
    """Return the card's, or those measured for the family."""
    return card.tolerances or Tolerances(**asdict(CATALOG.family(card.features.family).proof_tolerance))


def table(folder: Path, file: str, names: tuple[str, ...], *, where: str) -> Rows:
    """Return rows of features, (n, n_features), from a CSV with a header or from a .npy file.

    Raises CardError, naming line and column, when one is missing or not a finite number.
    """
    path = folder / file
    rows = _npy(path, where) if path.suffix == ".npy" else _csv(path, names, where)
    if rows.ndim != 2 or rows.shape[1] != len(names) or not len(rows):
        raise CardError(f"{path} has shape {rows.shape}, not (n, {len(names)})", where=where, hint="one row per window")
    if not np.isfinite(rows).all():
        row, column = np.argwhere(~np.isfinite(rows))[0]
        raise CardError(f"{path}: row {row + 1} has no finite {names[column]}", where=where, hint="leave such rows out")
    return rows


def golden_inputs(card: Card, folder: Path, spec: FeatureSpecEntry) -> GoldenInputs:
    """Return golden inputs and the source's features of them. Raises CardError, RecordingError."""
    names = card.features.names
    if CATALOG.family(card.features.family).is_passed_through:
        rows = table(folder, card.files.golden, names, where="files.golden").astype(np.float32)
        return GoldenInputs("rows", rows, rows.astype(np.float64))
    given = card.files.golden_features
    if not spec.window_samples:
        rows = _npy(folder / card.files.golden, "files.golden").astype(np.float32)
        return GoldenInputs("rows", rows, table(folder, _required(given, spec), names, where="files.golden_features"))
    recording = load_recording(folder / card.files.golden, sample_rate_hz=spec.sample_rate_hz)
    if recording.sample_rate_hz != spec.sample_rate_hz:
        raise CardError(
            f"{recording.path} has {recording.sample_rate_hz:g} Hz, the features {spec.sample_rate_hz:g}",
            where="files.golden",
        )
    samples = np.ascontiguousarray(recording.samples, np.float32)
    if given is not None:
        features = table(folder, given, names, where="files.golden_features")
        return GoldenInputs("samples", samples, features.reshape(samples.shape[0], -1, len(names)))
    return GoldenInputs("samples", samples, _by_reference(samples, spec))


def _entries(family: str, names: tuple[str, ...], units: tuple[str, ...] | None) -> tuple[FeatureEntry, ...]:
    if CATALOG.family(family).has_free_names:
        if units is None:
            raise SignalError("units are missing: tags have none of their own", hint='use "" where there is none')
        return tuple(FeatureEntry(name=name, version=1, unit=unit) for name, unit in zip(names, units, strict=True))
    known = feature_ids(family, *names)
    return tuple(FeatureEntry(name=one.name, version=one.version, unit=one.unit) for one in known)


def _npy(path: Path, where: str) -> Rows:
    try:
        return np.asarray(np.load(path, allow_pickle=False), np.float64)
    except (OSError, ValueError, EOFError, TypeError) as exc:
        raise CardError(f"{path} is not a .npy table: {exc}", where=where, hint="save it with numpy.save") from exc


def _csv(path: Path, names: tuple[str, ...], where: str) -> Rows:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in names if name not in (reader.fieldnames or ())]
            if missing:
                raise CardError(
                    f"{path} has no column {', '.join(missing)}", where=where, hint="name them in its header"
                )
            return np.array([_numbers(row, names, path, reader.line_num, where) for row in reader], np.float64)
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise CardError(f"{path} cannot be read: {exc}", where=where, hint="check the path in the card") from exc


def _numbers(row: dict[str, str], names: tuple[str, ...], path: Path, line: int, where: str) -> list[float]:
    try:
        return [float(row[name]) for name in names]
    except (ValueError, TypeError) as exc:
        raise CardError(f"{path}, line {line}: {exc}", where=where, hint="leave rows with a missing value out") from exc


def _required(given: str | None, spec: FeatureSpecEntry) -> str:
    if given is None:
        raise _no_reference(spec)
    return given


def _no_reference(spec: FeatureSpecEntry) -> CardError:
    return CardError(
        f"the workshop has no reference for the features of {spec.extractor} as asked for here",
        where="files.golden_features",
        hint="compute the golden inputs' features with the code the model was trained with, save them as .npy or "
        "CSV, and name that file",
    )


def _by_reference(samples: NDArray[np.float32], spec: FeatureSpecEntry) -> Rows:
    from converters.proof import reference_features as reference  # librosa takes seconds to import

    names = [feature.name for feature in spec.features]
    known = reference.REFERENCES.get(spec.extractor)
    if known is None or not set(names) <= set(known.names) or spec.parameters != known.parameters:
        raise _no_reference(spec)
    windows = reference.cut(samples, window=spec.window_samples, hop=spec.hop_samples)
    columns = [known.names.index(name) for name in names]
    return np.asarray(known.compute(windows, spec.sample_rate_hz)[..., columns], np.float64)
