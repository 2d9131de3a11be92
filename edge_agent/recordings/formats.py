"""Every format: how its bytes are known, what reads it, and what must be installed for that.

Constraints
- The bytes decide which format it is; the name's ending only confirms.
- What a library in C parses, or one that follows a foreign structure, is parsed in a process of its own.
- A format that is known and not read is refused by its name, with the way out.
"""

from __future__ import annotations

import importlib.util
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np

from edge_agent.core.samples import read_only
from edge_agent.errors import ParserDiedError, RecordingError
from edge_agent.isolation import ParserProcess, ProcessLimits
from edge_agent.recordings.audio import is_audio, read_audio, refuse_truncated
from edge_agent.recordings.hdf5 import read_hdf5
from edge_agent.recordings.lvm import MAGIC, read_lvm
from edge_agent.recordings.matlab import read_matlab
from edge_agent.recordings.numpy_files import read_numpy
from edge_agent.recordings.overrides import NO_OVERRIDES, Overrides
from edge_agent.recordings.parquet import read_parquet
from edge_agent.recordings.recording import Content, numbered
from edge_agent.recordings.series import Signals, table_of_series
from edge_agent.recordings.table import Table
from edge_agent.recordings.tdms import read_tdms
from edge_agent.recordings.text import read_text
from edge_agent.recordings.text_bytes import utf16_of
from edge_agent.recordings.uff import read_uff
from edge_agent.recordings.variables import content_of_variables
from edge_agent.recordings.waveform import content_of

EXTRA: Final = "formats"
PARSER: Final = ParserProcess()
"""One for the process: `score` reads hundreds of files, and a child per file would cost more than all of them."""

Made = TypeVar("Made", Content, Table)
Reader = Callable[[bytes, str, Overrides], Made]

_MIB: Final = 2**20
_HDF5_MAGIC: Final = b"\x89HDF\r\n\x1a\n"
_HDF5_PLACES: Final = (0, 512, 1024, 2048)


def stop_parsing() -> None:
    """End what the parser's process does now: at a stop nobody waits for a long file."""
    PARSER.interrupt()


def in_child(function: Callable[[bytes, str], Any], data: bytes, name: str) -> Any:
    """Return what `function(data, name)` returns, run in the parser's process. Raises RecordingError."""
    size = len(data)
    # Libraries take 400 MB of addresses; samples of 8 bytes may come out of packed ones of 2, and are copied twice.
    limits = ProcessLimits(
        memory_bytes=1024 * _MIB + 12 * size,
        cpu_s=30 + 2 * size // _MIB,
        wall_s=90.0 + 6 * size / _MIB,
        answer_bytes=1024 * _MIB,
    )
    try:
        return PARSER.call(function, data, name, limits=limits)
    except ParserDiedError as exc:
        raise RecordingError(
            f"{name} cannot be read: {exc.message}", hint="the file is damaged; copy it again, or leave it out"
        ) from exc


def _audio(data: bytes, name: str, overrides: Overrides) -> Content:
    refuse_truncated(data, name)
    found = in_child(read_audio, data, name)
    samples = read_only(np.array(found["samples"], np.float32))
    return Content(samples, numbered(len(samples)), float(found["rate_hz"]))


def _apart(parse: Callable[[bytes, str], Any], made_of: Callable[[Any, str, Overrides], Made]) -> Reader[Made]:
    """What is made here of what `parse` finds in the parser's process."""
    return lambda data, name, overrides: made_of(in_child(parse, data, name), name, overrides)


def _whole_table(parts: Signals, name: str, overrides: Overrides) -> Table:
    """All columns: which of them a person means is asked where a table's time is known."""
    return table_of_series(parts, name, NO_OVERRIDES)


@dataclass(frozen=True, slots=True)
class Format:
    """`title` as it stands in messages and in docs/RECORDINGS.md; `library` is what must be importable."""

    title: str
    endings: tuple[str, ...]
    library: str | None
    read: Reader[Content] | None = None
    table: Reader[Table] | None = None
    is_isolated: bool = False

    def content(self, data: bytes, name: str, overrides: Overrides) -> Content:
        """Return the channels. Raises RecordingError, also for a library that is not installed."""
        self._require_library(name)
        if self.read is not None:
            return self.read(data, name, overrides)
        return content_of(self.rows(data, name, overrides), overrides)

    def rows(self, data: bytes, name: str, overrides: Overrides) -> Table:
        """Return the columns, of a format that is a table. Raises RecordingError."""
        self._require_library(name)
        if self.table is None:
            raise RecordingError(f"{name} is {self.title}, which holds no table of tags", hint="export the tags as CSV")
        return self.table(data, name, overrides)

    def _require_library(self, name: str) -> None:
        if self.library is not None and importlib.util.find_spec(self.library) is None:
            raise RecordingError(
                f"{name} is {self.title}, which needs {self.library}, and that is not installed here",
                hint=f"pip install 'smart-maintenance-edge[{EXTRA}]', or export it as WAV or CSV",
            )


AUDIO: Final = Format(
    "a sound file",
    (".wav", ".wave", ".flac", ".aif", ".aiff", ".aifc", ".w64", ".rf64", ".bwf"),
    "soundfile",
    _audio,
    is_isolated=True,
)
MATLAB: Final = Format("a MATLAB file", (".mat",), "scipy", _apart(read_matlab, content_of_variables), is_isolated=True)
HDF5: Final = Format(
    "HDF5 or MATLAB 7.3", (".h5", ".hdf5", ".hdf"), "h5py", _apart(read_hdf5, content_of_variables), is_isolated=True
)
NUMPY: Final = Format(
    "a NumPy file", (".npy", ".npz"), None,
    lambda data, name, overrides: content_of_variables(read_numpy(data, name), name, overrides),
)  # fmt: skip
PARQUET: Final = Format(
    "Parquet", (".parquet", ".pq"), "pyarrow", table=_apart(read_parquet, _whole_table), is_isolated=True
)
TDMS: Final = Format("TDMS", (".tdms",), "nptdms", table=_apart(read_tdms, table_of_series), is_isolated=True)
UFF: Final = Format(
    "a universal file (UFF58)", (".uff", ".unv", ".bunv"), "pyuff", table=_apart(read_uff, table_of_series),
    is_isolated=True,
)  # fmt: skip
LVM: Final = Format("a LabVIEW measurement", (".lvm",), None, table=lambda data, name, overrides: read_lvm(data, name))
TEXT: Final = Format(
    "columns of text", (".csv", ".tsv", ".txt", ".asc"), None,
    table=lambda data, name, overrides: read_text(data, name, decimal=overrides.decimal, rate_hz=overrides.rate_hz),
)  # fmt: skip
FORMATS: Final = (AUDIO, MATLAB, HDF5, NUMPY, PARQUET, TDMS, UFF, LVM, TEXT)

_FOREIGN: Final[Mapping[bytes, tuple[str, str]]] = {
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", "save the sheet as CSV"),
    b"TDSh": ("the index of a TDMS file", "give the .tdms file itself"),
    b"OggS": ("Ogg: sound whose fine detail was thrown away", "record as WAV or FLAC"),
    b"ID3": ("MP3: sound whose fine detail was thrown away", "record as WAV or FLAC"),
    b"\xff\xfb": ("MP3: sound whose fine detail was thrown away", "record as WAV or FLAC"),
    b"MDF  ": ("ASAM MDF", "export the channels as CSV, TDMS or MATLAB 7"),
    b"SQLite format": ("an SQLite database", "export the table as CSV"),
    b"BZh": ("packed with bzip2", "unpack it first"),
    b"\xfd7zXZ": ("packed with xz", "unpack it first"),
    b"7z\xbc\xaf": ("packed with 7-Zip", "unpack it first"),
    b"Rar!": ("packed with RAR", "unpack it first"),
    b"\x28\xb5\x2f\xfd": ("packed with Zstandard", "unpack it first"),
    b"%PDF": ("a PDF", "export the samples as CSV"),
    b"\x80\x02": ("a Python pickle, which runs when it is read", "save an array of numbers with numpy.save"),
    b"\x80\x03": ("a Python pickle, which runs when it is read", "save an array of numbers with numpy.save"),
    b"\x80\x04": ("a Python pickle, which runs when it is read", "save an array of numbers with numpy.save"),
    b"\x80\x05": ("a Python pickle, which runs when it is read", "save an array of numbers with numpy.save"),
    b"caff": ("Apple CAF", "export it as WAV"),
    b".snd": ("Sun AU", "export it as WAV"),
    b"version https://git-lfs": ("the stand-in of a file in Git LFS", "fetch the file itself: git lfs pull"),
}
_UFF_HEAD: Final = re.compile(rb"^\s*-1\s*\r?\n\s*(\d{1,5})[a-zA-Z]?\b[^\n]*\n")
_MARKUP: Final = re.compile(rb"^\s*(<\?xml|<!doctype|<html|<[a-zA-Z]+[ >])", re.IGNORECASE)
_JSON: Final = re.compile(rb'^\s*[\[{]\s*["\[{\d-]')


def format_of(data: bytes, name: str, ending: str) -> Format:
    """Return the format. Raises RecordingError for bytes that are not read, or are not what the ending says."""
    found = _by_content(data)
    promised = next((form for form in FORMATS if ending in form.endings), None)
    if found is None:
        _refuse_foreign(data, name)
    if promised is not None and promised is not TEXT and found is not promised:
        is_matlab = promised is MATLAB and found is HDF5
        if not is_matlab and not (promised is LVM and found is TEXT):
            raise RecordingError(
                f"{name} is not {promised.title}, whatever its name says", hint="the copy may be damaged"
            )
    if found is None:
        raise RecordingError(
            f"{name}: unknown format",
            hint="known are WAV, FLAC, AIFF, W64, CSV and other columns of numbers, MATLAB, HDF5, TDMS, UFF58, "
            "LVM, Parquet, NumPy, and .gz of these",
        )
    return found


def _by_content(data: bytes) -> Format | None:
    if is_audio(data):
        return AUDIO
    if any(data[at : at + 8] == _HDF5_MAGIC for at in _HDF5_PLACES) or data[:10] == b"MATLAB 7.3":
        return HDF5
    # Bytes 126 and 127 of a MATLAB 5 header say the byte order; the text before is free, mostly.
    if data[:6] == b"MATLAB" or (len(data) >= 128 and data[124:128] in (b"\x00\x01IM", b"\x01\x00MI")):
        return MATLAB
    if data[:6] == b"\x93NUMPY" or (data[:4] == b"PK\x03\x04" and b".npy" in data[:300]):
        return NUMPY
    for magic, form in ((b"PAR1", PARQUET), (b"TDSm", TDMS), (MAGIC, LVM)):
        if data.startswith(magic):
            return form
    if (match := _UFF_HEAD.match(data[:200])) is not None and 10 < int(match.group(1)) < 10_000:
        return UFF
    if _is_matlab4(data):
        return MATLAB
    if utf16_of(data) is not None:
        return TEXT
    head = data[:4096]
    return None if b"\x00" in head or re.search(rb"[\x01-\x08\x0e-\x1f\x7f]", head) or _is_foreign(data) else TEXT


def _is_matlab4(data: bytes) -> bool:
    """A header of five whole numbers: type, rows, columns, imaginary or not, length of the name that follows."""
    for order, machine in (("<", 0), (">", 1)):
        if len(data) < 24:
            return False
        kind, rows, columns, imaginary, length = struct.unpack_from(order + "5i", data)
        digits = (kind // 1000, kind // 100 % 10, kind // 10 % 10, kind % 10)
        if digits[0] == machine and digits[1] == 0 and digits[2] <= 5 and digits[3] <= 2 and 0 <= kind < 5000:
            name = data[20 : 20 + length] if 1 < length <= 64 else b""
            if imaginary in (0, 1) and rows > 0 and columns > 0 and re.fullmatch(rb"[A-Za-z]\w*\x00+", name):
                return True
    return False


def _is_foreign(data: bytes) -> bool:
    return any(data.startswith(magic) for magic in _FOREIGN) or bool(
        _MARKUP.match(data[:200]) or _JSON.match(data[:200])
    )


def _refuse_foreign(data: bytes, name: str) -> None:
    for magic, (title, remedy) in _FOREIGN.items():
        if data.startswith(magic):
            raise RecordingError(f"{name} is {title}", hint=remedy)
    if data[:4] == b"PK\x03\x04":
        is_sheet = b"xl/" in data[:4096] or b"[Content_Types]" in data[:200]
        title = "an Excel workbook" if is_sheet else "packed with ZIP"
        raise RecordingError(f"{name} is {title}", hint="save the sheet as CSV" if is_sheet else "unpack it first")
    if data[4:8] == b"ftyp":
        raise RecordingError(f"{name} is MPEG-4: sound whose fine detail was thrown away", hint="record as WAV or FLAC")
    if _MARKUP.match(data[:200]):
        raise RecordingError(
            f"{name} is a page of HTML or XML, no recording", hint="the download may have failed; fetch the file itself"
        )
    if _JSON.match(data[:200]):
        raise RecordingError(
            f"{name} is JSON", hint="export the samples as CSV: one row a sample, one column a channel"
        )
