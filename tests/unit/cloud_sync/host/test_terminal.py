"""The guarded streams of every command: whoever prints, no control character arrives."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cloud_sync.host.terminal import guarded, unguarded

EVIL = "\x1b]0;evil\x07\x1b[2J\u202e"


def test_what_is_printed_is_printable_and_what_is_drawn_is_not_changed() -> None:
    raw = io.BytesIO()
    stream = guarded(io.TextIOWrapper(raw, encoding="utf-8"))
    print(f"a{EVIL}\nb", file=stream, flush=True)
    unguarded(stream).write("\x1b[H")
    unguarded(stream).flush()
    assert raw.getvalue() == b"a\\x1b]0;evil\\x07\\x1b[2J\\u202e\nb\n\x1b[H"
    assert guarded(stream) is stream


def test_a_terminal_that_knows_only_ascii_is_told_the_rest_in_escapes() -> None:
    raw = io.BytesIO()
    stream = guarded(io.TextIOWrapper(raw, encoding="ascii"))
    print("Öl \udcff", file=stream, flush=True)
    assert raw.getvalue() == b"\\xd6l \\udcff\n"


@pytest.mark.parametrize(
    "command",
    [
        ["edge_agent.cli.main", "score", "NAME", "--bundle", "RandomForest_MIMII_Audio_Benchmark"],
        ["edge_agent.cli.main", "run", "--config", "NAME"],
        ["converters.main", "convert", "NAME", "--name", "m", "--version", "1.0.0"],
        ["cloud_sync.central.cli.main", "NAME"],
    ],
    ids=" ".join,
)
def test_a_files_name_steers_no_command(command: list[str], tmp_path: Path) -> None:
    """A name that no encoder takes either, and one that is markup: it is shown, and no traceback."""
    name = os.fsdecode(f"{EVIL}[red]\n".encode() + b"\xff.txt")
    (tmp_path / name).write_text("no such thing\n")
    module, *arguments = command
    answer = subprocess.run(
        [sys.executable, "-c", f"from {module} import run; run()", *(a.replace("NAME", name) for a in arguments)],
        capture_output=True, check=False, cwd=tmp_path, env={**os.environ, "EDGE_CENTRAL__API_KEY": "k"}, timeout=100,
    )  # fmt: skip
    shown = answer.stdout + answer.stderr
    assert answer.returncode not in (0, -11)
    assert rb"\x1b]0;evil\x07" in shown
    assert b"[red]" in shown
    assert {bytes([c]) for c in shown if c < 32} <= {b"\n"}
    assert b"Traceback" not in shown, shown
