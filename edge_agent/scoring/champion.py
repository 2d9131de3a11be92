"""Which version of a bundle counts, and everything needed to score with it.

Layout: `<models_dir>/<name>/<version>/` are bundles, `<models_dir>/<name>/champion.json` points at one of them.

Constraints
- A champion is verified, proven over its golden vectors and warmed up before anybody gets it.
- Promotion moves one pointer, atomically; a bundle is never edited. Rolling back is promoting the older version.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from edge_agent.dsp.extractor import Extractor
from edge_agent.errors import BundleError
from edge_agent.scoring.bundle import MANIFEST_FILE, ModelBundle, read_bundle
from edge_agent.scoring.golden import GoldenReport, open_extractor, open_model, prove
from edge_agent.scoring.manifest import BundleVersion
from edge_agent.scoring.runtime import OnnxModel

POINTER_FILE: Final = "champion.json"
KEYS_DIR: Final = "keys"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_VERSION: Final = re.compile(r"\d+\.\d+\.\d+")


class Pointer(BaseModel):
    """champion.json."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    version: BundleVersion


@dataclass(frozen=True, slots=True, eq=False)
class Champion:
    """A bundle that may score: verified, proven on this box, loaded and warm."""

    bundle: ModelBundle
    extractor: Extractor
    model: OnnxModel
    golden: GoldenReport


@dataclass(frozen=True, slots=True)
class BundleListing:
    """What lies under one name, oldest version first. `champion` is None when the pointer is missing or unreadable."""

    name: str
    versions: tuple[str, ...]
    champion: str | None


def list_bundles(models_dir: Path) -> tuple[BundleListing, ...]:
    """Every bundle in `models_dir`, by name. Opens no bundle; an absent folder has none."""
    if not models_dir.is_dir():
        return ()
    folders = sorted(entry for entry in models_dir.iterdir() if entry.is_dir() and entry.name != KEYS_DIR)
    listings = (BundleListing(folder.name, _versions(folder), _champion_or_none(folder)) for folder in folders)
    return tuple(listing for listing in listings if listing.versions)


def champion_version(models_dir: Path, name: str) -> str:
    """The version the pointer of `name` names. Raises BundleError for an unknown name or a broken pointer."""
    pointer = _folder(models_dir, name) / POINTER_FILE
    try:
        return Pointer.model_validate_json(pointer.read_bytes()).version
    except FileNotFoundError as exc:
        raise BundleError(
            f"{name} has no champion: {pointer} is missing", hint="choose a version with `edge-agent models promote`"
        ) from exc
    except (OSError, ValidationError) as exc:
        raise BundleError(
            f'{pointer} cannot be used: it must hold one version, like {{"version": "1.0.0"}}',
            hint="choose a version with `edge-agent models promote`",
        ) from exc


def load_champion(models_dir: Path, name: str, *, keys_dir: Path, require_signature: bool = True) -> Champion:
    """The bundle that counts under `name`, ready to score.

    Raises
    ------
    BundleError
        Unknown name (lists the known ones), no champion, or a bundle that is not verified or not proven here.
    """
    version = champion_version(models_dir, name)
    return load_bundle(models_dir, name, version, keys_dir=keys_dir, require_signature=require_signature)


def load_bundle(
    models_dir: Path, name: str, version: str, *, keys_dir: Path, require_signature: bool = True
) -> Champion:
    """The given version of `name`, verified, proven and warmed up as a champion would be. Raises BundleError."""
    path = _version_folder(models_dir, name, version)
    bundle = read_bundle(path, keys_dir=keys_dir, require_signature=require_signature)
    named = (bundle.manifest.name, bundle.manifest.version)
    if named != (name, version):
        raise BundleError(f"{path} holds {named[0]} {named[1]}, not {name} {version}", hint="do not rename bundles")
    extractor, model = open_extractor(bundle), open_model(bundle)
    report = prove(bundle, extractor=extractor, model=model)
    _warm_up(bundle, model)
    return Champion(bundle, extractor, model, report)


def promote(
    models_dir: Path, name: str, version: str, *, keys_dir: Path | None = None, require_signature: bool = True
) -> None:
    """Make `version` the champion of `name`, after it has been verified and proven on this box.

    Either the old or the new pointer is there at any moment, also after power loss. `keys_dir` defaults to
    `<models_dir>/keys`. Raises BundleError and leaves the pointer alone when the version cannot be used.
    """
    keys = models_dir / KEYS_DIR if keys_dir is None else keys_dir
    load_bundle(models_dir, name, version, keys_dir=keys, require_signature=require_signature)
    pointer = _folder(models_dir, name) / POINTER_FILE
    try:
        _replace(pointer, json.dumps({"version": version}) + "\n")
    except OSError as exc:
        raise BundleError(
            f"{pointer} cannot be written: {exc.strerror}; the old champion stays",
            hint="check the folder's owner and the free space",
        ) from exc


def _replace(path: Path, text: str) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _warm_up(bundle: ModelBundle, model: OnnxModel) -> None:
    """One inference of one row, so that the first live window is not late."""
    means = [bundle.manifest.baseline[feature.name].mean for feature in bundle.spec.features]
    model.score(np.array([means], np.float32))


def _folder(models_dir: Path, name: str) -> Path:
    folder = models_dir / name
    if not _NAME.fullmatch(name) or name == KEYS_DIR or not _versions(folder):
        known = ", ".join(listing.name for listing in list_bundles(models_dir)) or "none"
        raise BundleError(
            f"no bundle is called {name!r} in {models_dir}; there are: {known}", hint="check the spelling"
        )
    return folder


def _version_folder(models_dir: Path, name: str, version: str) -> Path:
    folder = _folder(models_dir, name)
    versions = _versions(folder)
    if version not in versions:
        raise BundleError(f"{name} has no version {version!r}; there are: {', '.join(versions)}")
    return folder / version


def _versions(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        return ()
    found = [e.name for e in folder.iterdir() if _VERSION.fullmatch(e.name) and (e / MANIFEST_FILE).is_file()]
    return tuple(sorted(found, key=_version_key))


def _version_key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _champion_or_none(folder: Path) -> str | None:
    try:
        return Pointer.model_validate_json((folder / POINTER_FILE).read_bytes()).version
    except (OSError, ValidationError):
        return None
