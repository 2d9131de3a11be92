"""A bundle out of an archive, without believing the archive.

Constraints
- Only the four files of a bundle are written, under their own names: no path of the archive ever becomes a path here.
- Bytes are counted as they come out, not as the archive says; entries likewise. The first excess ends it.
- Links, devices, encrypted and repeated entries are refused by name. No error of tarfile, zipfile or zlib leaves.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Final, Protocol

from cloud_sync.host.private_files import open_private
from edge_agent.bundles.bundle import MAX_FILE_BYTES, SIGNATURE_FILE
from edge_agent.bundles.manifest import GOLDEN_FILE, MANIFEST_FILE, MODEL_FILE
from edge_agent.errors import BundleError

BUNDLE_FILES: Final = frozenset({MANIFEST_FILE, SIGNATURE_FILE, MODEL_FILE, GOLDEN_FILE})
SUFFIXES: Final = (".zip", ".tar", ".tar.gz", ".tgz")
MAX_ENTRIES: Final = 16
"""Four files and the folders above them; more is not a bundle."""

MAX_UNPACKED_BYTES: Final = 2 * MAX_FILE_BYTES
MAX_ARCHIVE_BYTES: Final = MAX_UNPACKED_BYTES
_MAX_FOLDERS: Final = 3  # <name>/<version>/ and one above
_MAX_ZIP_DIRECTORY_BYTES: Final = 65_536  # it is read as a whole before anything can be counted
_CHUNK: Final = 1 << 16
_MAKE_AGAIN: Final = "pack the bundle's folder again: tar -cf NAME-VERSION.tar -C models_onnx NAME/VERSION"


class CutShortError(BundleError):
    """The archive ends too early: it is still being copied, or the copy broke off."""


def is_archive(path: Path) -> bool:
    return path.name.endswith(SUFFIXES)


def unpack(archive: Path, into: Path) -> None:
    """Write the bundle's files into the empty folder `into`.

    Raises
    ------
    CutShortError
        The archive ends before its end.
    BundleError
        Not such an archive, or one that does what a bundle does not need. What was written may be incomplete.
    """
    with _translated(archive):
        if archive.stat().st_size > MAX_ARCHIVE_BYTES:
            raise BundleError(f"{archive.name} is larger than {MAX_ARCHIVE_BYTES} bytes", hint=_MAKE_AGAIN)
        if archive.name.endswith(".zip"):
            _unpack_zip(archive, _Sink(archive.name, into))
        else:
            _unpack_tar(archive, _Sink(archive.name, into))


class _Sink:
    """Takes entries one after another and writes those that belong to a bundle."""

    def __init__(self, archive: str, into: Path) -> None:
        self.archive = archive
        self._into = into
        self._entries = 0
        self._left = MAX_UNPACKED_BYTES
        self._folder: PurePosixPath | None = None

    def count(self) -> None:
        self._entries += 1
        if self._entries > MAX_ENTRIES:
            raise self.error(f"it holds more than {MAX_ENTRIES} entries")

    def write(self, name: str, content: IO[bytes]) -> None:
        target = self._into / self._file_of(name)
        if target.exists():
            raise self.error(f"{target.name} is in it twice")
        room = MAX_FILE_BYTES
        with open_private(target, "xb") as file:
            while chunk := content.read(_CHUNK):
                room -= len(chunk)
                self._left -= len(chunk)
                if room < 0 or self._left < 0:
                    raise self.error(f"{target.name} is larger than {MAX_FILE_BYTES} bytes when unpacked")
                file.write(chunk)

    def _file_of(self, name: str) -> str:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
            raise self.error(f"{name!r} leads out of its folder")
        if path.name not in BUNDLE_FILES or len(path.parts) > _MAX_FOLDERS + 1:
            raise self.error(f"{name!r} does not belong to a bundle")
        if self._folder not in (None, path.parent):
            raise self.error("its files lie in several folders: one archive holds one bundle")
        self._folder = path.parent
        return path.name

    def error(self, why: str) -> BundleError:
        return BundleError(f"{self.archive} is refused: {why}", hint=_MAKE_AGAIN)


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Bounded:
    """Reads from `source` until so much has come out that it cannot be a bundle: bombs also hide in tar headers."""

    def __init__(self, source: _Readable, sink: _Sink) -> None:
        self._source = source
        self._sink = sink
        self._left = MAX_UNPACKED_BYTES + (1 << 20)

    def read(self, size: int = _CHUNK) -> bytes:
        data = self._source.read(min(size, _CHUNK))
        self._left -= len(data)
        if self._left < 0:
            raise self._sink.error(f"it is larger than {MAX_UNPACKED_BYTES} bytes when unpacked")
        return data


def _unpack_tar(archive: Path, sink: _Sink) -> None:
    is_packed = not archive.name.endswith(".tar")
    with (
        gzip.open(archive) if is_packed else archive.open("rb") as plain,
        tarfile.open(fileobj=_Bounded(plain, sink), mode="r|") as tar,  # type: ignore[call-overload]
    ):
        for entry in tar:
            sink.count()
            if entry.isdir():
                continue
            if not entry.isreg():
                raise sink.error(f"{entry.name!r} is a {_kind_of(entry)}, not a file")
            content = tar.extractfile(entry)
            if content is not None:
                sink.write(entry.name, content)


def _unpack_zip(archive: Path, sink: _Sink) -> None:
    _check_zip_directory(archive, sink)
    with zipfile.ZipFile(archive) as file:
        for entry in file.infolist():
            sink.count()
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if entry.is_dir():
                continue
            if kind not in (0, stat.S_IFREG):
                raise sink.error(f"{entry.filename!r} is a link or a device, not a file")
            if entry.flag_bits & 0x1:
                raise sink.error(f"{entry.filename!r} is encrypted")
            with file.open(entry) as content:
                sink.write(entry.filename, content)


def _check_zip_directory(archive: Path, sink: _Sink) -> None:
    """The record at the end (PKWARE APPNOTE 4.3.16) says how long the directory is: zipfile reads it as a whole."""
    with archive.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 42))
        end = file.read()
    if end[:4] == b"PK\6\7":
        raise sink.error("it is a ZIP64 archive, which no bundle needs")
    record = end[-22:]
    if record[:4] != b"PK\5\6":
        raise CutShortError(
            f"{sink.archive} does not end as a ZIP archive does: cut short, or with a comment", hint=_MAKE_AGAIN
        )
    entries, directory_bytes = struct.unpack("<HI", record[10:16])
    if entries > MAX_ENTRIES or directory_bytes > _MAX_ZIP_DIRECTORY_BYTES:
        raise sink.error(f"it holds {entries} entries; a bundle has four files")


@contextlib.contextmanager
def _translated(archive: Path) -> Iterator[None]:
    try:
        yield
    except (EOFError, tarfile.ReadError) as exc:
        raise CutShortError(f"{archive.name} is cut short or is no such archive: {exc}", hint=_MAKE_AGAIN) from exc
    except (
        tarfile.TarError, zipfile.BadZipFile, zlib.error, gzip.BadGzipFile, NotImplementedError,
        RuntimeError, ValueError, OverflowError, struct.error, MemoryError,
    ) as exc:  # fmt: skip
        raise BundleError(f"{archive.name} cannot be unpacked: {exc}", hint=_MAKE_AGAIN) from exc
    except OSError as exc:
        raise BundleError(
            f"{archive.name} cannot be unpacked: {exc.strerror or exc}", hint="check the disk and the file's mode"
        ) from exc


def _kind_of(entry: tarfile.TarInfo) -> str:
    if entry.issym() or entry.islnk():
        return "link"
    return "device" if entry.isdev() else "thing"
