"""Which program could set this box's clock, by what it leaves in the file system, and what helps when it does not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class TimeService:
    """`running` and `installed` are places of which one is there then; `ask` and `start` are commands."""

    name: str
    running: tuple[str, ...]
    installed: tuple[str, ...]
    ask: str
    start: str


_SERVICES: Final = (
    TimeService(
        "chrony",
        ("run/chrony/chronyd.pid", "run/chronyd.pid", "run/chrony/chronyd.sock"),
        ("usr/sbin/chronyd", "usr/bin/chronyd"),
        "chronyc sources",
        "systemctl enable --now chrony",
    ),
    TimeService(
        "ntpd",
        ("run/ntpd.pid", "run/ntp.pid", "var/run/ntpd.pid"),
        ("usr/sbin/ntpd",),
        "ntpq -p",
        "systemctl enable --now ntp",
    ),
    TimeService(
        "systemd-timesyncd",
        ("run/systemd/timesync",),
        ("usr/lib/systemd/systemd-timesyncd", "lib/systemd/systemd-timesyncd"),
        "timedatectl timesync-status",
        "systemctl enable --now systemd-timesyncd",
    ),
)
_BY_HAND: Final = "set it by hand: timedatectl set-ntp false; timedatectl set-time 'YYYY-MM-DD hh:mm:ss'"
_BY_HAND_PLAIN: Final = "set it by hand: date -u -s 'YYYY-MM-DD hh:mm:ss'"


def remedy(root: Path = Path("/")) -> str:
    """Return what gets the clock of this box synchronised, by what is really on it."""
    by_hand = _BY_HAND if (root / "run/systemd/system").exists() else _BY_HAND_PLAIN
    for service in _SERVICES:
        if _is_any_there(root, service.running):
            why = f"{service.name} runs and has no time yet: is UDP 123 to its servers open? `{service.ask}` shows them"
            return f"{why}; or {by_hand}"
    for service in _SERVICES:
        if _is_any_there(root, service.installed):
            return f"start {service.name}: {service.start}; or {by_hand}"
    return f"no time service is on this box: install chrony or systemd-timesyncd; or {by_hand}"


def has_battery_clock(root: Path = Path("/")) -> bool:
    """Return whether a clock that runs without power is there."""
    return _is_any_there(root, ("sys/class/rtc/rtc0", "dev/rtc0"))


def _is_any_there(root: Path, places: tuple[str, ...]) -> bool:
    for place in places:
        try:
            if (root / place).exists():
                return True
        except OSError:  # a folder that may not be looked into
            continue
    return False
