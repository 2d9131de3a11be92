"""Doors of recordings: what loggers and laboratories write, as text and in formats that libraries read in C."""

from __future__ import annotations

import contextlib
import functools
import io
import random
import wave
from collections.abc import Callable
from pathlib import Path

import h5py
import nptdms
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from scipy.io import savemat

from edge_agent.errors import RecordingError
from edge_agent.recordings.loading import load_recording, load_table
from tests.fuzz.door import Door, Enter
from tests.fuzz.files import in_folder
from tests.fuzz.generator import damaged

SAMPLES = np.sin(np.arange(300.0))
_ROWS = "".join(f"{number * 0.001:.3f},{value:.5f},{-value:.5f}\n" for number, value in enumerate(SAMPLES))
TEXTS = (
    ("a.csv", "time,x [g],y [g]\n" + _ROWS), ("b.csv", _ROWS), ("c.csv", _ROWS.replace(",", ";").replace(".", ",")),
    ("d.csv", "# rate: 1000 Hz\r\nx\r\n" + "\r\n".join(f"{value:.4e}" for value in SAMPLES)),
    ("e.txt", "\n".join(f"{value:.5f}\t{value:.5f}" for value in SAMPLES)),
    ("f.csv", "timestamp,value\n" + "".join(f"2026-03-01T12:00:00.{n:03d}Z,{v:.3f}\n" for n, v in enumerate(SAMPLES))),
    ("g.lvm", "LabVIEW Measurement\nSeparator\tTab\n***End_of_Header***\n"
     "Channels\t1\nDelta_X\t0.001\n***End_of_Header***\n"
     "X_Value\tA\n" + "".join(f"{n * 0.001:.3f}\t{v:.4f}\n" for n, v in enumerate(SAMPLES))),
)  # fmt: skip
_TEXT_CHUNKS = (
    b",", b";", b"\t", b"\n", b"\r", b'"', b"#", b"nan", b"inf", b"1e999", b"-", b"9" * 5_000, b"\x00", b"\xff",
    b"\xef\xbb\xbf",
    b"OVER", b"2026-13-99T99:99:99Z", b"0000-00-00", b"Hz", b"rate: 1e400 Hz", b"," * 3_000,
    b"[m/s2]", b"[degC]", b"\xed\xa0\x80",
)  # fmt: skip


def _wav() -> bytes:
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes((SAMPLES * 30_000).astype("<i2").tobytes())
    return made.getvalue()


def _written(write: Callable[[io.BytesIO], object]) -> bytes:
    made = io.BytesIO()
    write(made)
    return made.getvalue()


@functools.cache
def binaries() -> tuple[tuple[str, bytes], ...]:
    return (
        ("a.wav", _wav()),
        ("b.mat", _written(lambda made: savemat(made, {"DE": SAMPLES, "fs": 1_000.0}))),
        ("c.mat", _written(lambda made: savemat(made, {"DE": SAMPLES}, format="4"))),
        ("d.mat", _written(lambda made: savemat(made, {"bearing": {"gs": SAMPLES, "sr": 1_000}}, do_compression=True))),
        ("e.npy", _written(lambda made: np.save(made, SAMPLES))),
        ("f.npz", _written(lambda made: np.savez(made, x=SAMPLES, fs=1_000))),
        ("g.h5", _written(_hdf5)),
        ("h.tdms", _written(_tdms)),
        ("i.parquet", _written(lambda made: pq.write_table(pa.table({"t": SAMPLES, "x": SAMPLES}), made))),
        *((f"j.{kind.lower()}", _sound(kind)) for kind in ("FLAC", "AIFF", "W64", "RF64")),
    )


def _hdf5(made: io.BytesIO) -> None:
    with h5py.File(made, "w") as file:
        file["run/acc"] = SAMPLES
        file.attrs["fs"] = 1_000.0


def _tdms(made: io.BytesIO) -> None:
    with nptdms.TdmsWriter(made) as writer:
        writer.write_segment([nptdms.ChannelObject("run", "x", SAMPLES, properties={"wf_increment": 1e-3})])


def _sound(kind: str) -> bytes:
    return _written(lambda made: soundfile.write(made, 0.1 * SAMPLES, 1_000, format=kind, subtype="PCM_16"))


def _text(rng: random.Random) -> bytes:
    name, text = rng.choice(TEXTS)
    return name.encode() + b"\n" + damaged(rng, text.encode(), _TEXT_CHUNKS)


def _binary(rng: random.Random) -> bytes:
    name, content = rng.choice(binaries())
    return name.encode() + b"\n" + damaged(rng, content)


def _load(folder: Path) -> Enter:
    def load(content: bytes) -> None:
        name, _, whole = content.partition(b"\n")
        path = folder / name.decode()
        path.write_bytes(whole)
        with contextlib.suppress(RecordingError):  # most are not both
            load_table(path)
        found = load_recording(path, sample_rate_hz=1_000.0)
        assert found.samples.ndim == 2

    return load


DOORS = (
    Door("recording-text", _text, in_folder(_load), (RecordingError,), in_tests=60),
    Door("recording-binary", _binary, in_folder(_load), (RecordingError,), in_tests=60),
)
