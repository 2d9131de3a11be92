"""Notifications to systemd, over a real socket."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from edge_agent.health.systemd import SystemdNotifier


@pytest.mark.parametrize("style", ["path", "abstract"])
def test_systemd_hears_ready_status_watchdog_and_stopping(tmp_path: Path, style: str) -> None:
    address = {"path": str(tmp_path / "notify"), "abstract": f"@edge-test-{tmp_path.name}"}[style]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address.replace("@", "\0", 1))
        notifier = SystemdNotifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "3000000"})
        notifier.ready("4 sources")
        notifier.alive()
        notifier.stopping()
        heard = [listener.recv(1000).decode() for _ in range(3)]
    assert heard == ["READY=1\nSTATUS=4 sources", "WATCHDOG=1", "STOPPING=1"]
    assert notifier.watchdog_interval_s == 1.5


def test_without_systemd_nothing_is_sent_and_no_watchdog_is_wanted() -> None:
    notifier = SystemdNotifier({})
    notifier.ready("fine")
    assert notifier.watchdog_interval_s is None


def test_a_systemd_that_went_away_does_not_stop_the_agent(tmp_path: Path) -> None:
    SystemdNotifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).alive()
