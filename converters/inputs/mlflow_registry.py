"""A model out of an MLflow registry: which version, which of its files, and what its run knew.

Constraints
- An address names one version, by alias or number: `models:/name@alias`, `models:/name/3`. Never "the newest".
- Only the one file that is the model is taken, and the card with the tables it names. Nothing of it runs here.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from converters.card import read_card
from converters.errors import CardError, RegistryError
from converters.inputs.mlflow_client import Registry, open_registry
from converters.inputs.model_file import Origin
from edge_agent.errors import EdgeError

SCHEME: Final = "models:/"
CARD_FILE: Final = "edge-card.toml"
FLAVOURS: Final[Mapping[str, str]] = {"sklearn": "pickled_model", "lightgbm": "data", "prophet": "data"}
"""MLflow's flavours that are converted, and which entry names the model's file."""

SUFFIXES: Final = frozenset({".skops", ".lgb", ".txt", ".pr", ".json", ".pkl", ".joblib"})
"""Of model files that were logged without a flavour."""

_MODEL: Final = "model"
_CARD: Final = "card"
_DESCRIPTION: Final = "MLmodel"
_ADDRESS: Final = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<number>\d+))")


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """One version's file, copied. `card_file` is the card that lay with it, its tables beside it."""

    name: str
    number: int
    model_file: Path
    card_file: Path | None
    origin: Origin


def is_address(text: str) -> bool:
    """Return whether it means a registry, not a file."""
    return text.startswith(SCHEME)


def fetch(address: str, registry_uri: str | None, into: Path, *, with_card: bool = True) -> RegisteredModel:
    """Return the version an address means, its files copied into the folder `into`.

    `with_card` is False when the card is somewhere else. Raises RegistryError (each says what there is instead) and
    CardError for a card in the registry that names files outside of its folder.
    """
    parsed = _ADDRESS.fullmatch(address)
    if parsed is None:
        raise RegistryError(
            f"{address} does not name one version", hint=f"like {SCHEME}pump@champion or {SCHEME}pump/3"
        )
    if not registry_uri:
        raise RegistryError(
            f"{address} is in which registry?", hint="--registry sqlite:///mlflow.db, or set MLFLOW_TRACKING_URI"
        )
    registry = open_registry(registry_uri)
    model, version = _version(registry, parsed["name"], parsed["alias"], parsed["number"])
    location = registry.location(version)
    model_file = registry.take(*_model_file(registry, location, address), into / _MODEL)
    run = registry.run(version.run_id) if version.run_id else None
    card = _card(registry, location, run, into / _CARD) if with_card else None
    origin = _origin(registry, model, version, run)
    return RegisteredModel(parsed["name"], int(version.version), model_file, card, origin)


@contextlib.contextmanager
def copies_named(folder: str, address: str) -> Iterator[None]:
    """Name, in an error raised inside, a copy in `folder` by its address: the copy is gone when the error is read."""
    try:
        yield
    except EdgeError as exc:
        exc.message = re.sub(rf"{re.escape(folder)}/(?:{_MODEL}|{_CARD})/", f"{address}/", exc.message)
        raise


def _version(registry: Registry, name: str, alias: str | None, number: str | None) -> tuple[Any, Any]:
    model = registry.model(name)
    if model is None:
        raise RegistryError(f"{registry.address} has no model {name!r}", hint=f"there are: {_list(registry.names())}")
    aliases = {str(key): str(value) for key, value in model.aliases.items()}
    if alias is not None and alias not in aliases:
        there = [f"{key} (version {value})" for key, value in sorted(aliases.items())]
        raise RegistryError(
            f"{name} has no alias {alias!r}",
            hint=f"aliases: {_list(there)}; versions: {_list(registry.numbers(name))}",
        )
    version = registry.version(name, number or aliases[str(alias)])
    if version is None:
        raise RegistryError(f"{name} has no version {number}", hint=f"there are: {_list(registry.numbers(name))}")
    return model, version


def _model_file(registry: Registry, location: str, address: str) -> tuple[str, str]:
    """The one file that holds the model: its folder and its name."""
    there = registry.files(location)
    if not there and PurePosixPath(location).suffix in SUFFIXES:
        folder, _, file = location.rpartition("/")
        return folder, file
    if not there:
        raise RegistryError(f"the files of {address} are gone from its artifact store", hint="log the model again")
    if _DESCRIPTION in there:
        return location, _named_by_flavour(registry, location, there, address)
    candidates = [name for name, is_folder in there.items() if not is_folder and PurePosixPath(name).suffix in SUFFIXES]
    if len(candidates) != 1:
        raise RegistryError(
            f"{address} holds {_list(sorted(there))}, of which {len(candidates)} look like a model file",
            hint=f"log it with MLflow's flavour ({_list(FLAVOURS)}), or as one file ({_list(sorted(SUFFIXES))})",
        )
    return location, candidates[0]


def _named_by_flavour(registry: Registry, location: str, there: Mapping[str, bool], address: str) -> str:
    flavours = registry.flavours(location, _DESCRIPTION)
    known = [name for name in FLAVOURS if name in flavours]
    if not known:
        named = _list(sorted(set(flavours) - {"python_function"})) or "python_function"
        raise RegistryError(
            f"{address} is of the flavour {named}; converted are {_list(FLAVOURS)}",
            hint="log the model as it was trained: a graph has no source to be compared with",
        )
    file = str(flavours[known[0]].get(FLAVOURS[known[0]], ""))
    if there.get(file) is not False:
        raise RegistryError(
            f"{address} names the file {file!r} for its {known[0]} model, which is not there", hint="log it again"
        )
    return file


def _card(registry: Registry, location: str, run: Any, into: Path) -> Path | None:
    """The card beside the model, in the run, or in a folder of the run; None when there is none."""
    places = [location]
    if run is not None:
        root = str(run.info.artifact_uri).rstrip("/")
        folders = [name for name, is_folder in sorted(registry.files(root).items()) if is_folder]
        places += [root, *(f"{root}/{name}" for name in folders)]
    found = list(dict.fromkeys(place for place in places if CARD_FILE in registry.files(place)))
    if not found:
        return None
    if len(found) > 1 and location not in found:
        raise RegistryError(
            f"the run has {len(found)} cards: {_list(found)}", hint="log one, or name the one meant with --card"
        )
    card = registry.take(found[0], CARD_FILE, into)
    for field, file in read_card(card).files:
        if file is not None:
            _check_beside(registry, found[0], field, file)
            registry.take(found[0], file, into)
    return card


def _check_beside(registry: Registry, place: str, field: str, file: str) -> None:
    path = PurePosixPath(file)
    if path.is_absolute() or ".." in path.parts or "\\" in file:
        raise CardError(
            f"the card in the registry names {file}, outside of its folder",
            where=f"files.{field}",
            hint="log the file beside the card",
        )
    folder = place if path.parent == PurePosixPath() else f"{place}/{path.parent}"
    if registry.files(folder).get(path.name) is not False:
        raise CardError(
            f"the card in the registry names {file}, which was not logged with it",
            where=f"files.{field}",
            hint="log the whole folder of the card: mlflow.log_artifacts(folder, 'edge')",
        )


def _origin(registry: Registry, model: Any, version: Any, run: Any) -> Origin:
    facts = {
        "registry.address": registry.address,
        "registry.model": str(version.name),
        "registry.version": str(version.version),
        "registry.run_id": str(version.run_id or ""),
    }
    notes = [f"From the registry {registry.address}: {version.name}, version {version.version}, run {version.run_id}."]
    sensor_type = {**model.tags, **version.tags}.get("sensor_type")
    if sensor_type:
        facts["registry.sensor_type"] = sensor_type
        notes.append(f"Its tag sensor_type is {sensor_type}: meant for sources of that kind.")
    if run is None:
        return Origin(facts, {}, tuple(notes))
    facts |= {f"run.{name}": str(value) for name, value in sorted(run.data.params.items())}
    metrics = {name: float(value) for name, value in sorted(run.data.metrics.items())}
    endless = [name for name, value in metrics.items() if not math.isfinite(value)]
    if endless:
        notes.append(f"Without the run's metrics that are no finite numbers: {_list(endless)}.")
        metrics = {name: value for name, value in metrics.items() if name not in endless}
    return Origin(facts, metrics, tuple(notes))


def _list(words: Any) -> str:
    return ", ".join(words) or "none"
