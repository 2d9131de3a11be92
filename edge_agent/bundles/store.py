"""Which version of a bundle counts, and everything needed to score with it.

Layout: `<models_dir>/<name>/<version>/` are bundles, `<models_dir>/<name>/champion.json` points at one of them.

Constraints
- A champion is verified, proven over its golden vectors and warmed up before anybody gets it.
- Promotion moves one pointer (`champion_file`), atomically; a bundle is never edited.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from edge_agent.bundles.bundle import ModelBundle, read_bundle
from edge_agent.bundles.champion_file import Note, Pointer, move_pointer, pointer_or_none, read_pointer
from edge_agent.bundles.folders import entries_of, is_there, versions_in
from edge_agent.bundles.golden import GoldenReport, open_extractor, open_model, prove
from edge_agent.bundles.onnx_runtime import OnnxModel
from edge_agent.dsp.family_base.family import Extractor
from edge_agent.errors import BundleError, SignalError

KEYS_DIR: Final = "keys"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")

First = Callable[[ModelBundle], None]


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
    pointer: Pointer | None = None


def list_bundles(models_dir: Path) -> tuple[BundleListing, ...]:
    """Return every bundle in `models_dir`, by name. Opens no bundle; an absent folder has none. Raises BundleError."""
    listings = (_listing(folder) for folder in entries_of(models_dir) if _is_bundle_name(folder.name))
    return tuple(listing for listing in listings if listing.versions)


def _listing(folder: Path) -> BundleListing:
    pointer = pointer_or_none(folder)
    return BundleListing(folder.name, versions_in(folder), pointer.version if pointer else None, pointer)


def champion_version(models_dir: Path, name: str) -> str:
    """Return the version that counts under `name`. Raises BundleError for an unknown name or a broken pointer."""
    return read_pointer(bundle_folder(models_dir, name)).version


@dataclass(frozen=True, slots=True)
class BundleStore:
    """A folder of bundles, and whose signatures it trusts: the public keys in `keys_dir`, else in `<folder>/keys`."""

    folder: Path
    keys_dir: Path | None = None
    require_signature: bool = True

    @property
    def keys(self) -> Path:
        """Return the folder of public keys (*.pub) that may sign."""
        return self.keys_dir or self.folder / KEYS_DIR

    def read(self, path: Path) -> ModelBundle:
        """Return the bundle in `path`, in this folder or not, verified; not yet proven. Raises BundleError."""
        return read_bundle(path, keys_dir=self.keys, require_signature=self.require_signature)

    def load_champion(self, name: str, *, first: First | None = None) -> Champion:
        """Return the bundle that counts under `name`, ready to score; `first` as for `load`.

        Raises
        ------
        BundleError
            Unknown name (lists the known ones), no champion, or a bundle that is not verified or not proven here.
        """
        return self.load(name, champion_version(self.folder, name), first=first)

    def load(self, name: str, version: str, *, first: First | None = None) -> Champion:
        """Return a version of `name`, verified, proven and warmed up as a champion would be. Raises BundleError.

        `first` sees the verified bundle before its graph is parsed here: `ProvenBundles.check`, for a process that must
        go on whatever the graph does to a parser.
        """
        path = _version_folder(self.folder, name, version)
        bundle = self.read(path)
        named = (bundle.manifest.name, bundle.manifest.version)
        if named != (name, version):
            raise BundleError(f"{path} holds {named[0]} {named[1]}, not {name} {version}", hint="do not rename bundles")
        if first is not None:
            first(bundle)
        return ready(bundle)

    def promote(self, name: str, version: str, *, note: Note | None = None, on_probation: bool = False) -> Champion:
        """Make `version` the champion of `name`, after it has been verified and proven on this box.

        Either the old or the new pointer is there at any moment, also after power loss. Raises BundleError and leaves
        the pointer alone when the version cannot be used.
        """
        champion = self.load(name, version)
        move_pointer(bundle_folder(self.folder, name), version, note, on_probation=on_probation)
        return champion

    def roll_back(self, name: str, *, note: Note, version: str | None = None) -> Champion:
        """Make the champion before the present one, or `version`, the champion again, verified and proven once more.

        Raises BundleError and leaves the pointer alone when there is none, or it cannot be used.
        """
        folder = bundle_folder(self.folder, name)
        back = version or read_pointer(folder).previous(versions_in(folder))
        if back is None:
            raise BundleError(
                f"{name} has no champion to go back to", hint=f"there are: {', '.join(versions_in(folder))}; name one"
            )
        champion = self.load(name, back)
        move_pointer(folder, back, note, is_rollback=True)
        return champion


class StoreSettings(Protocol):
    """What a site's settings say of its bundles (`ModelSettings`); the workshop builds bundles without any."""

    @property
    def dir(self) -> Path: ...
    @property
    def keys_dir(self) -> Path | None: ...
    @property
    def require_signature(self) -> bool: ...


def bundle_store(settings: StoreSettings) -> BundleStore:
    """Return the store that a gateway's settings name."""
    return BundleStore(settings.dir, settings.keys_dir, settings.require_signature)


def ready(bundle: ModelBundle) -> Champion:
    """Return the bundle loaded, proven on this box and warmed up. Raises BundleError."""
    extractor, model = open_extractor(bundle), open_model(bundle)
    report = prove(bundle, extractor=extractor, model=model)
    _warm_up(bundle, model)
    return Champion(bundle, extractor, model, report)


def _warm_up(bundle: ModelBundle, model: OnnxModel) -> None:
    """One inference of one row, so that the first live window is not late."""
    means = [bundle.manifest.baseline[feature.name].mean for feature in bundle.spec.features]
    try:
        model.score(np.array([means], np.float32))
    except SignalError as exc:
        raise BundleError(f"{bundle.label}: its baseline is beyond float32", hint="build the bundle again") from exc


def bundle_folder(models_dir: Path, name: str) -> Path:
    """Return where the versions of `name` lie. Raises BundleError for a name that has none; lists those that have."""
    folder = models_dir / name
    if not is_there(models_dir):
        raise BundleError(
            f"the folder of bundles {models_dir} is not there", hint="models.dir in the site's file says where it is"
        )
    if not _is_bundle_name(name) or not versions_in(folder):
        raise _unknown(models_dir, name)
    return folder


def _unknown(models_dir: Path, name: str) -> BundleError:
    known = [listing.name for listing in list_bundles(models_dir)]
    what = f"no bundle is called {name!r} in {models_dir}"
    if guess := get_close_matches(name, known, n=1, cutoff=0.85):
        return BundleError(
            f"{what}; did you mean {guess[0]}?", hint=f"check the spelling; there are: {', '.join(known)}"
        )
    if not known:
        return BundleError(f"{what}; there are: none", hint="copy the bundle there, or put it into the inbox")
    return BundleError(
        f"{what}; there are: {', '.join(known)}", hint="check the spelling, or copy the bundle there (docs/MODELS.md)"
    )


def _version_folder(models_dir: Path, name: str, version: str) -> Path:
    folder = bundle_folder(models_dir, name)
    versions = versions_in(folder)
    if version not in versions:
        raise BundleError(
            f"{name} has no version {version!r}; there are: {', '.join(versions)}",
            hint=f"choose one of them: edge-agent models promote {name} {versions[-1]}",
        )
    return folder / version


def _is_bundle_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and name != KEYS_DIR
