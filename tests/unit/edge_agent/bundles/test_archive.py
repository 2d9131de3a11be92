"""An archive is unpacked without being believed: nothing is written elsewhere, and nothing without bound."""

from __future__ import annotations

import gzip
import io
import random
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.bundles import archive as archives
from edge_agent.bundles.archive import BUNDLE_FILES, CutShortError, unpack
from edge_agent.errors import BundleError
from tests.support.bundle_workshop import SHIPPED, VIBRATION

BUNDLE = SHIPPED / VIBRATION / "1.0.0"
SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")


def pack(folder: Path, suffix: str, *, prefix: str = f"{VIBRATION}/1.0.0/") -> Path:
    """The shipped bundle as one archive, as `tar -C models_onnx` or a file manager makes it."""
    path = folder / f"bundle{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name in sorted(BUNDLE_FILES):
                file.write(BUNDLE / name, prefix + name)
    else:
        with tarfile.open(path, "w" if suffix == ".tar" else "w:gz") as tar:
            tar.add(BUNDLE, arcname=prefix.rstrip("/") or ".")
    return path


def tar_of(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(b"x" * member.size) if member.isreg() else None)
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, *, size: int = 1, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.size = size if kind == tarfile.REGTYPE else 0
    return info


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "outer" / "into"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("prefix", ["", "1.0.0/", f"{VIBRATION}/1.0.0/", f"./{VIBRATION}/1.0.0/"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_packed_bundle_comes_out_byte_for_byte(tmp_path: Path, into: Path, suffix: str, prefix: str) -> None:
    unpack(pack(tmp_path, suffix, prefix=prefix), into)
    assert {file.name: file.read_bytes() for file in into.iterdir()} == {
        name: (BUNDLE / name).read_bytes() for name in BUNDLE_FILES
    }


@pytest.mark.parametrize(
    "name",
    ["../model.onnx", "/etc/model.onnx", "a/../../model.onnx", "..\\model.onnx", "a/b/c/d/model.onnx", "cron.sh"],
)
def test_a_path_that_leads_elsewhere_is_refused_and_written_nowhere(tmp_path: Path, into: Path, name: str) -> None:
    with pytest.raises(BundleError, match=r"leads out of its folder|does not belong to a bundle"):
        unpack(tar_of(tmp_path / "a.tar", member(name)), into)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(name, b"x")
    with pytest.raises(BundleError, match=r"leads out of its folder|does not belong to a bundle"):
        unpack(tmp_path / "a.zip", into)
    assert [path for path in into.parent.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (tarfile.SYMTYPE, "link"),
        (tarfile.LNKTYPE, "link"),
        (tarfile.CHRTYPE, "device"),
        (tarfile.BLKTYPE, "device"),
        (tarfile.FIFOTYPE, "device"),
    ],
)
def test_links_and_devices_are_refused_by_name(tmp_path: Path, into: Path, kind: bytes, word: str) -> None:
    with pytest.raises(BundleError, match=f"'model.onnx' is a {word}"):
        unpack(tar_of(tmp_path / "a.tar", member("model.onnx", kind, link="/etc/shadow")), into)
    assert list(into.iterdir()) == []


def test_a_link_in_a_zip_is_refused(tmp_path: Path, into: Path) -> None:
    info = zipfile.ZipInfo("model.onnx")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(info, "/etc/shadow")
    with pytest.raises(BundleError, match="is a link or a device"):
        unpack(tmp_path / "a.zip", into)


def test_an_encrypted_entry_is_refused_by_name(tmp_path: Path, into: Path) -> None:
    path = pack(tmp_path, ".zip")
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(bytes(content))
    with pytest.raises(BundleError, match="is encrypted"):
        unpack(path, into)


def test_the_same_file_twice_is_refused(tmp_path: Path, into: Path) -> None:
    with pytest.raises(BundleError, match="is in it twice"):
        unpack(tar_of(tmp_path / "a.tar", member("model.onnx"), member("model.onnx")), into)


def test_two_bundles_in_one_archive_are_refused(tmp_path: Path, into: Path) -> None:
    with pytest.raises(BundleError, match="several folders"):
        unpack(tar_of(tmp_path / "a.tar", member("a/model.onnx"), member("b/golden.npz")), into)


def bomb_zip(path: Path, size: int) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("model.onnx", b"\0" * size)
    return path


def bomb_tar(path: Path, size: int) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        tar.addfile(member("model.onnx", size=size), io.BytesIO(b"\0" * size))
    return path


def bomb_in_a_header(path: Path, size: int) -> Path:
    """A pax header is read as a whole before there is any entry to count."""
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as tar:
        info = member("model.onnx")
        info.pax_headers = {"comment": "0" * size}
        tar.addfile(info, io.BytesIO(b"x"))
    return path


@pytest.mark.parametrize("make", [bomb_zip, bomb_tar, bomb_in_a_header])
def test_a_bomb_is_refused_while_it_is_unpacked(
    tmp_path: Path, into: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path, int], Path]
) -> None:
    monkeypatch.setattr(archives, "MAX_FILE_BYTES", 1 << 20)
    monkeypatch.setattr(archives, "MAX_UNPACKED_BYTES", 2 << 20)
    bomb = make(tmp_path / ("a.zip" if make is bomb_zip else "a.tgz"), 40 << 20)
    assert bomb.stat().st_size < 100_000
    with pytest.raises(BundleError, match=r"larger than .* bytes when unpacked"):
        unpack(bomb, into)
    assert sum(file.stat().st_size for file in into.iterdir()) <= 2 << 20


def test_a_size_that_lies_changes_nothing(tmp_path: Path, into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory says ten bytes, the stream holds forty million."""
    monkeypatch.setattr(archives, "MAX_FILE_BYTES", 1 << 20)
    path = bomb_zip(tmp_path / "a.zip", 40 << 20)
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\1\2", 24), (b"PK\3\4", 22)):
        start = content.index(mark) + offset
        content[start : start + 4] = (10).to_bytes(4, "little")
    path.write_bytes(bytes(content))
    with pytest.raises(BundleError):
        unpack(path, into)
    assert sum(file.stat().st_size for file in into.iterdir()) <= 1 << 20


def test_too_many_entries_are_refused(tmp_path: Path, into: Path) -> None:
    folders = [member(f"{number}/", tarfile.DIRTYPE) for number in range(17)]
    with pytest.raises(BundleError, match="more than 16 entries"):
        unpack(tar_of(tmp_path / "a.tar", *folders), into)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        for number in range(5_000):
            file.writestr(f"{number}", b"")
    with pytest.raises(BundleError, match="it holds 5000 entries"):
        unpack(tmp_path / "a.zip", into)


def test_an_archive_that_is_too_large_is_not_opened(
    tmp_path: Path, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_ARCHIVE_BYTES", 1_000)
    with pytest.raises(BundleError, match="is larger than 1000 bytes"):
        unpack(pack(tmp_path, ".tar"), into)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_half_copied_archive_is_told_from_a_wrong_one(tmp_path: Path, into: Path, suffix: str, share: float) -> None:
    path = pack(tmp_path, suffix)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CutShortError):
        unpack(path, into)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_whatever_bytes_come_only_a_named_refusal_leaves(tmp_path: Path, suffix: str) -> None:
    whole = pack(tmp_path, suffix).read_bytes()
    rng = random.Random(7)
    refused = 0
    for number in range(150):
        content = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            start = rng.choice((0, max(0, len(content) - 1_000)))
            content[min(start + rng.randrange(1_000), len(content) - 1)] = rng.randrange(256)
        path, into = tmp_path / f"{number}{suffix}", tmp_path / f"into-{number}"
        path.write_bytes(bytes(content))
        into.mkdir()
        try:
            unpack(path, into)
        except BundleError:
            refused += 1
        assert {file.name for file in into.iterdir()} <= BUNDLE_FILES
    assert refused > 10


def test_a_gzip_of_something_else_is_refused(tmp_path: Path, into: Path) -> None:
    (tmp_path / "a.tgz").write_bytes(gzip.compress(b"hello" * 1_000))
    with pytest.raises(BundleError):
        unpack(tmp_path / "a.tgz", into)
