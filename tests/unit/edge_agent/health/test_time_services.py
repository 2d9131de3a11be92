"""The remedy is for what is really on the box."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.health.time_services import has_battery_clock, remedy


def box_with(folder: Path, *places: str) -> Path:
    for place in places:
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).touch()
    return folder


@pytest.mark.parametrize(
    ("places", "words"),
    [
        (("run/chrony/chronyd.pid", "usr/sbin/ntpd"), "chrony runs and has no time yet: is UDP 123"),
        (("run/ntpd.pid",), "`ntpq -p` shows them"),
        (("run/systemd/timesync/clock",), "`timedatectl timesync-status` shows them"),
        (("usr/lib/systemd/systemd-timesyncd",), "systemctl enable --now systemd-timesyncd"),
        (("usr/sbin/chronyd", "usr/lib/systemd/systemd-timesyncd"), "start chrony"),
        ((), "no time service is on this box"),
    ],
)
def test_the_service_that_is_there_is_named(tmp_path: Path, places: tuple[str, ...], words: str):
    assert words in remedy(box_with(tmp_path, *places))


def test_a_clock_can_always_be_set_by_hand(tmp_path: Path):
    assert "date -u -s" in remedy(tmp_path)
    assert "timedatectl set-time" in remedy(box_with(tmp_path, "run/systemd/system/unit"))


def test_a_battery_clock_is_seen(tmp_path: Path):
    assert not has_battery_clock(tmp_path)
    assert has_battery_clock(box_with(tmp_path, "sys/class/rtc/rtc0/time"))
