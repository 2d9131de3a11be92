"""Signals that come while the program is still being imported."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

SIGNAL_WHILE_IMPORTING = """
import os, sys
class AtTyper:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            os.kill(os.getpid(), int(sys.argv.pop()))
sys.meta_path.insert(0, AtTyper())
from edge_agent.start import run
run()
"""


def started(*arguments: object, order: signal.Signals) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SIGNAL_WHILE_IMPORTING, *map(str, arguments), str(int(order))]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, preexec_fn=_as_from_a_terminal
    )


def _as_from_a_terminal() -> None:
    """Whoever is started in the background of a shell's script ignores an interrupt, and so do its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("command", ["run", "status", "--help"])
def test_an_interrupt_ends_it_without_a_traceback(command: str) -> None:
    done = started(command, order=signal.SIGINT)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


def test_a_hang_up_does_not_end_a_daemon_that_is_starting(tmp_path: Path) -> None:
    done = started("run", "--config", tmp_path / "missing.toml", order=signal.SIGHUP)
    assert done.returncode == 3
    assert "missing.toml" in done.stderr
