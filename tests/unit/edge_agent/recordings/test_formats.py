"""The formats of loggers and laboratories, each written by its own library or by hand, and what is refused by name."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nptdms
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from edge_agent.errors import RecordingError
from edge_agent.recordings import Overrides, Recording, load_recording
from edge_agent.recordings.formats import FORMATS

RATE_HZ = 20_480
X, Y = 0.1 * np.random.default_rng(3).standard_normal((2, 600))
T = np.arange(600) / RATE_HZ
IN_G = Overrides(wanted_unit="g")


def hdf5(path: Path, *, matlab: bool = False, **datasets: Any) -> None:
    with h5py.File(path, "w", userblock_size=512 if matlab else 0) as file:
        for name, values in datasets.items():
            attributes = {}
            if isinstance(values, tuple):
                values, attributes = values
            item = file.create_dataset(name, data=values)
            item.attrs.update(attributes)
    if matlab:
        with path.open("r+b") as raw:
            raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")


def tdms(path: Path, *channels: tuple[str, np.ndarray, dict[str, Any]]) -> None:
    with nptdms.TdmsWriter(path) as writer:
        writer.write_segment([nptdms.ChannelObject("run", name, values, properties=p) for name, values, p in channels])


def uff(path: Path, *, func_type: int = 1, unit: str = "m/s^2") -> None:
    labels = [(17, "Time", "s"), (12, "Acc", unit), (0, "NONE", "NONE"), (0, "NONE", "NONE")]
    lines = ["    -1", "    58", *["NONE"] * 5]
    lines.append(f"{func_type:5d}{1:10d}{0:5d}{0:10d} {'NONE':10}{1:10d}{3:4d} {'NONE':10}{0:10d}{0:4d}")
    lines.append(f"{2:10d}{len(X):10d}{1:10d}{0:13.5e}{1 / RATE_HZ:13.5e}{0:13.5e}")
    lines += [f"{kind:10d}{0:5d}{0:5d}{0:5d} {label:20} {units:20}" for kind, label, units in labels]
    values = [f"{value * 9.80665:13.5e}" for value in X]
    lines += ["".join(values[at : at + 6]) for at in range(0, len(values), 6)]
    path.write_text("\n".join([*lines, "    -1"]) + "\n")


def parquet(path: Path, **columns: Any) -> None:
    pq.write_table(pa.table(columns), path)


def lvm(path: Path, *, decimal: str = ".", delta: bool = True, x: bool = True, comment: bool = True) -> None:
    head = ["LabVIEW Measurement", "Writer_Version\t2", "Separator\tTab", f"Decimal_Separator\t{decimal}",
            "***End_of_Header***", "", "Channels\t2", "Samples\t600\t600", "Y_Unit_Label\tg\tmg"]  # fmt: skip
    head += [f"Delta_X\t{1 / RATE_HZ:.9f}\t{1 / RATE_HZ:.9f}".replace(".", decimal)] if delta else []
    head += ["***End_of_Header***", "X_Value\tDE\tFE\tComment"]
    rows = [
        f"{T[i]:.6f}\t{X[i]:.6f}\t{Y[i] * 1e3:.4f}".replace(".", decimal) if x
        else f"\t{X[i]:.6f}\t{Y[i] * 1e3:.4f}".replace(".", decimal)
        for i in range(600)
    ]  # fmt: skip
    if comment:
        rows[0] += "\tstarted by hand"
    path.write_text("\n".join([*head, *rows]) + "\n")


XY = {"x": X, "y": Y}
IN_MG = {"wf_increment": 1 / RATE_HZ, "unit_string": "mg"}
STAMPS = pa.array((T * 1e9).astype("int64"), pa.timestamp("ns"))
WRITERS: dict[str, tuple[str, Callable[[Path], Any], int]] = {
    "HDF5": ("a.h5", lambda p: hdf5(p, **{"run/acc": np.stack([X, Y], axis=1), "run/fs": RATE_HZ}), 2),
    "HDF5, rate as an attribute, units": (
        "a.hdf5",
        lambda p: hdf5(p, acc=(np.stack([X, Y]) * 9.80665, {"sample_rate": RATE_HZ, "unit": "m/s^2"})),
        2,
    ),
    "HDF5 with a time": ("a.h5", lambda p: hdf5(p, t=T, acc=X), 1),
    "MATLAB 7.3": ("a.mat", lambda p: hdf5(p, matlab=True, acc=X[:, None], Fs=[[RATE_HZ]]), 1),
    "MATLAB 7.3 without its header": ("a.mat", lambda p: hdf5(p, acc=X[None], dt=[[1 / RATE_HZ]]), 1),
    "npz": ("a.npz", lambda p: np.savez(p, acc=np.stack([X, Y]), fs=RATE_HZ), 2),
    "npz with a time": ("a.npz", lambda p: np.savez_compressed(p, time=T, acc=X), 1),
    "TDMS": ("a.tdms", lambda p: tdms(p, *((n, v * 1e3, IN_MG) for n, v in XY.items())), 2),
    "TDMS with a time channel": ("a.tdms", lambda p: tdms(p, ("Time", T, {"unit_string": "s"}), ("x", X, {})), 1),
    "UFF58": ("a.uff", uff, 1),
    "Parquet": ("a.parquet", lambda p: parquet(p, time=STAMPS, x=X, y=Y), 2),
    "Parquet of seconds": ("a.parquet", lambda p: parquet(p, **{"t [s]": T, "x [mg]": X * 1e3}), 1),
    "LVM": ("a.lvm", lvm, 2),
    "LVM with commas and without X": ("a.lvm", lambda p: lvm(p, decimal=",", x=False), 2),
    "LVM without a step": ("a.lvm", lambda p: lvm(p, delta=False, comment=False), 2),
}  # fmt: skip


@pytest.mark.parametrize("case", WRITERS)
def test_a_format_is_read_with_its_rate_and_in_the_wanted_unit(tmp_path: Path, case: str) -> None:
    name, write, n_channels = WRITERS[case]
    write(tmp_path / name)
    recording = load_recording(tmp_path / name, overrides=Overrides(wanted_unit="g", expected_rate_hz=RATE_HZ))
    assert (recording.sample_rate_hz, recording.rate_source) == (pytest.approx(RATE_HZ, rel=1e-6), "file")
    np.testing.assert_allclose(recording.samples, np.stack([X, Y])[:n_channels], atol=2e-6)


@pytest.mark.parametrize("ending", ["h5", "tdms", "uff", "parquet", "npz"])
def test_a_cut_or_changed_file_is_refused_by_name_or_read(tmp_path: Path, ending: str) -> None:
    write = next(write for name, write, _ in WRITERS.values() if name.endswith(ending))
    path = tmp_path / f"a.{ending}"
    write(path)
    whole = path.read_bytes()
    random = np.random.default_rng(5)
    n_refused = 0
    for cut in (len(whole), len(whole) // 2):
        for _ in range(6):
            data = bytearray(whole[:cut])
            for at in random.integers(0, len(data), 8):
                data[at] = int(random.integers(0, 256))
            path.write_bytes(data)
            refused = trouble_with(path)
            n_refused += refused is not None
            assert refused is None or refused.startswith(f"a.{ending}")
    assert n_refused


def test_what_a_library_without_errors_of_its_own_raises_is_damage_too(tmp_path: Path) -> None:
    path = tmp_path / "a.uff"
    uff(path)
    path.write_text(path.read_text().replace("e-", "x-"))
    assert refusal(path).message.startswith("a.uff cannot be read as a universal file: ")


def trouble_with(path: Path) -> str | None:
    """What is said of a file, None when it is read; anything else fails the test."""
    try:
        assert load_recording(path, overrides=Overrides(expected_rate_hz=RATE_HZ)).n_samples > 0
    except RecordingError as exc:
        return exc.message
    return None


def refusal(path: Path, overrides: Overrides = IN_G) -> RecordingError:
    with pytest.raises(RecordingError) as caught:
        load_recording(path, overrides=overrides)
    assert caught.value.hint
    return caught.value


def test_python_objects_are_never_run(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert "holds Python objects" in refusal(path).message


def test_an_archive_that_unpacks_to_more_than_there_is_room_for_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.zeros((2**20, 68)))
    assert path.stat().st_size < 2**20
    assert "is larger than 512 MiB unpacked" in refusal(path).message


def test_a_spectrum_is_no_recording(tmp_path: Path) -> None:
    uff(tmp_path / "a.uff", func_type=4)
    assert "is no time signal (function type 4)" in refusal(tmp_path / "a.uff").message


def test_channels_of_different_rates_are_chosen_by_a_person(tmp_path: Path) -> None:
    path = tmp_path / "a.tdms"
    tdms(path, ("fast", X, {"wf_increment": 1 / RATE_HZ}), ("slow", Y[:60], {"wf_increment": 10 / RATE_HZ}))
    assert "its channels differ in length or rate (fast: 600 at 20480 Hz, slow: 60 at 2048 Hz)" in refusal(path).message
    chosen: Recording = load_recording(path, overrides=Overrides(columns=("slow",)))
    assert (chosen.sample_rate_hz, chosen.channel_names, chosen.n_samples) == (RATE_HZ / 10, ("slow",), 60)


def test_several_datasets_of_different_length_are_chosen_by_a_person(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    hdf5(path, **{"a/acc": X, "b/acc": Y[:400], "fs": RATE_HZ})
    assert "its waveforms differ in length (a.acc: 600, b.acc: 400)" in refusal(path).message
    assert load_recording(path, overrides=Overrides(columns=("b.acc",))).n_samples == 400


def test_an_lvm_of_several_segments_is_refused(tmp_path: Path) -> None:
    lvm(tmp_path / "a.lvm")
    text = (tmp_path / "a.lvm").read_text()
    (tmp_path / "b.lvm").write_text(text + "\n" + text[text.index("Channels") :])
    assert "holds 2 segments" in refusal(tmp_path / "b.lvm").message


@pytest.mark.parametrize("form", [form for form in FORMATS if form.library], ids=lambda form: form.library)
def test_a_library_that_is_not_installed_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch, form: Any) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RecordingError, match=f"needs {form.library}, and that is not installed here") as caught:
        form.content(b"", "a.bin", Overrides())
    assert "smart-maintenance-edge[formats]" in str(caught.value.hint)


def test_a_wide_file_keeps_the_channels_that_were_named(tmp_path: Path) -> None:
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, np.stack([X, Y], axis=1), RATE_HZ, subtype="DOUBLE", format="WAV")
    (tmp_path / "a.wav").write_bytes(file.getvalue())
    recording = load_recording(tmp_path / "a.wav", overrides=Overrides(columns=("2",)))
    np.testing.assert_allclose(recording.samples, Y[None], atol=1e-6)
    assert "has no channel '3'" in refusal(tmp_path / "a.wav", Overrides(columns=("3",))).message


@pytest.mark.parametrize(
    "header",
    [b"{'descr': '<f8', 'fortran_order': False, 'shape': (300,), }  ]" + b" " * 55 + b"\n",
     b"{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999999999,), }" + b" " * 45 + b"\n",
     b"(" * 117 + b"\n"],
    ids=["a bracket too many", "more than there is", "nested"],
)  # fmt: skip
def test_a_numpy_header_that_is_none_is_refused_by_name(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(80))
    with pytest.raises(RecordingError, match=r"a\.npy cannot be read as a NumPy file"):
        load_recording(path, sample_rate_hz=1_000.0)


@pytest.mark.parametrize("step", ["0*1", "", "1e-320", "nan", "-1"])
def test_a_labview_step_that_is_none_is_refused_or_asked_for(tmp_path: Path, step: str) -> None:
    path = tmp_path / "g.lvm"
    path.write_text(
        f"LabVIEW Measurement\nSeparator\tTab\n***End_of_Header***\nChannels\t1\nDelta_X\t{step}\n***End_of_Header***\n"
        "X_Value\tA\n" + "".join(f"\t{number}.5\n" for number in range(20))
    )
    with pytest.raises(RecordingError, match=r"g\.lvm"):
        load_recording(path)


def test_samples_that_lie_in_another_file_are_not_fetched(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(np.arange(999.0).tobytes())
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", shape=(999,), dtype="f8", external=[(str(tmp_path / "other"), 0, 8 * 999)])
    layout = h5py.VirtualLayout(shape=(999,), dtype="f8")
    layout[:] = h5py.VirtualSource(str(tmp_path / "a.h5"), "x", shape=(999,))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_virtual_dataset("x", layout)
    for name in ("a.h5", "b.h5"):
        assert "lie in another file" in refusal(tmp_path / name).message


@pytest.mark.parametrize("place", ["file", "group"])
def test_a_rate_among_the_properties_above_a_tdms_channel_is_its_rate(tmp_path: Path, place: str) -> None:
    path = tmp_path / "a.tdms"
    with nptdms.TdmsWriter(path) as writer:
        properties = {"Sampling Rate": 25_600.0, "Operator": "x", "Speed": 1500.0}
        file = nptdms.RootObject(properties if place == "file" else {})
        group = nptdms.GroupObject("run", properties if place == "group" else {})
        writer.write_segment([file, group, nptdms.ChannelObject("run", "acc", X)])
    recording = load_recording(path, overrides=IN_G)
    assert (recording.sample_rate_hz, recording.rate_source) == (25_600.0, "file")


def test_an_lvm_with_fewer_rows_than_its_header_promises_is_cut_off(tmp_path: Path) -> None:
    lvm(tmp_path / "a.lvm")
    lines = (tmp_path / "a.lvm").read_text().splitlines(keepends=True)
    (tmp_path / "b.lvm").write_text("".join(lines[:-40]))
    assert (
        "is cut off: its header promises 600 samples per channel, 560 are there" in refusal(tmp_path / "b.lvm").message
    )
