"""From a folder of unknown files to an installed version: checked, proven, compared with the champion, put in place.

Constraints
- Nothing is visible under its name before it is proven on this box and on the disk; first in a process of its own.
- A version at or below the champion's does not come in: going back is a person's decision, and needs no new files.
- Versions do not pile up: the oldest that nobody may want again is removed for a new one.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloud_sync.host.fsync import sync
from cloud_sync.host.private_files import make_private_file, mode_beside
from edge_agent.bundles.archive import BUNDLE_FILES, MAX_UNPACKED_BYTES, is_archive, unpack
from edge_agent.bundles.atomic_files import locked, publish_folder, remove_folder
from edge_agent.bundles.bundle import MAX_FILE_BYTES, ModelBundle
from edge_agent.bundles.isolated_proof import prove_elsewhere
from edge_agent.bundles.manifest import MANIFEST_FILE, version_key
from edge_agent.bundles.silence import check_can_alarm
from edge_agent.bundles.store import BundleListing, BundleStore, list_bundles, ready
from edge_agent.errors import BundleError

KEPT_VERSIONS: Final = 5
_INCOMING: Final = ".incoming-"


@dataclass(frozen=True, slots=True)
class Installed:
    name: str
    version: str
    is_new: bool
    """False when the same bundle was there already: a copy that was dropped twice, or a start after a kill."""


def install(arrived: Path, store: BundleStore) -> Installed:
    """Bring the bundle in `arrived` (an archive or a folder) into the store. `arrived` is left as it is.

    Raises
    ------
    CutShortError
        The archive ends too early.
    BundleError
        Anything else that speaks against it, by name; the models folder is as before.
    """
    models_dir = store.folder
    try:
        with tempfile.TemporaryDirectory(dir=models_dir, prefix=_INCOMING, ignore_cleanup_errors=True) as scratch:
            built = Path(scratch) / "bundle"
            built.mkdir(mode=0o700)
            _take(arrived, built)
            bundle = store.read(built)
            if _is_there(bundle, models_dir):
                return Installed(bundle.manifest.name, bundle.manifest.version, is_new=False)
            _check_successor(bundle, models_dir)
            prove_elsewhere(built, store)
            check_can_alarm(ready(bundle))
            _put(built, bundle, models_dir)
    except OSError as exc:
        raise BundleError(
            f"{arrived.name} cannot be installed in {models_dir}: {exc.strerror or exc}",
            hint="models.dir must be a folder the agent may write to, such as /var/lib/edge-agent/models",
        ) from exc
    return Installed(bundle.manifest.name, bundle.manifest.version, is_new=True)


def sweep(models_dir: Path) -> None:
    """Remove what an installation left that was killed. Call it while nobody installs. Raises BundleError."""
    try:
        for pattern in (f"{_INCOMING}*", "*/.doomed-*"):
            for litter in models_dir.glob(pattern):
                shutil.rmtree(litter)
    except OSError as exc:
        raise BundleError(f"{models_dir} cannot be tidied: {exc.strerror or exc}") from exc


def _take(arrived: Path, into: Path) -> None:
    if arrived.is_symlink():
        raise BundleError(f"{arrived.name} is a link", hint="copy the bundle itself")
    if arrived.is_dir():
        _copy_folder(arrived, into)
    elif is_archive(arrived):
        unpack(arrived, into)
    else:
        raise BundleError(f"{arrived.name} is neither a folder nor a .zip, .tar or .tar.gz archive")


def _copy_folder(source: Path, into: Path) -> None:
    """Files are copied, not moved: whoever dropped them may still hold them open."""
    left = MAX_UNPACKED_BYTES
    for number, file in enumerate(source.iterdir()):
        if number >= len(BUNDLE_FILES) or file.name not in BUNDLE_FILES:
            raise BundleError(f"{file.name} in {source.name} does not belong to a bundle", hint="remove it")
        if file.is_symlink() or not file.is_file():
            raise BundleError(f"{file.name} in {source.name} is not a file", hint="copy the bundle itself")
        left -= (size := file.stat().st_size)
        if size > MAX_FILE_BYTES or left < 0:
            raise BundleError(f"{file.name} in {source.name} is larger than {MAX_FILE_BYTES} bytes")
        make_private_file(into / file.name)
        shutil.copyfile(file, into / file.name)


def _is_there(bundle: ModelBundle, models_dir: Path) -> bool:
    there = models_dir / bundle.manifest.name / bundle.manifest.version / MANIFEST_FILE
    if not there.is_file():
        return False
    if there.read_bytes() == (bundle.path / MANIFEST_FILE).read_bytes():
        return True
    raise BundleError(
        f"{bundle.label} is here already, with other content: a version is never replaced",
        hint="build it again under a higher version",
    )


def _check_successor(bundle: ModelBundle, models_dir: Path) -> None:
    listing = _listing_of(bundle.manifest.name, models_dir)
    champion = listing.champion if listing else None
    if champion is not None and version_key(bundle.manifest.version) <= version_key(champion):
        raise BundleError(
            f"{bundle.label} is not newer than the champion {champion}",
            hint="an older one comes back with `edge-agent models rollback`, not as a new bundle",
        )


def _put(built: Path, bundle: ModelBundle, models_dir: Path) -> None:
    folder = models_dir / bundle.manifest.name
    if not folder.is_dir():
        folder.mkdir(mode=0o700)
        folder.chmod(mode_beside(models_dir, 0o755))
        sync(models_dir)
    with locked(folder):
        _remove_surplus(bundle.manifest.name, models_dir)
        publish_folder(built, folder / bundle.manifest.version)


def _remove_surplus(name: str, models_dir: Path) -> None:
    listing = _listing_of(name, models_dir)
    if listing is None or listing.pointer is None:
        return
    wanted = {listing.pointer.version, listing.pointer.previous(listing.versions)}
    surplus = len(listing.versions) + 1 - KEPT_VERSIONS
    for version in [v for v in listing.versions if v not in wanted][: max(0, surplus)]:
        remove_folder(models_dir / name / version)


def _listing_of(name: str, models_dir: Path) -> BundleListing | None:
    return next((entry for entry in list_bundles(models_dir) if entry.name == name), None)
