"""The checks of `edge-agent check`: each looks at one thing of this box, and says what it found and what to do.

A check that fails is a finding, never an end: the others are made all the same.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from cloud_sync.host.inodes import hint_of_full_disk
from cloud_sync.host.private_files import user_name
from cloud_sync.outbox.disk_floor import floor_bytes
from edge_agent.core.clock import SystemClock
from edge_agent.errors import BundleError, DaemonUnreachableError
from edge_agent.health.clock_quality import ask_kernel
from edge_agent.health.file_systems import FileSystem, file_system_of
from edge_agent.health.memory import memory_of_this_process
from edge_agent.health.sync_latency import IMPLAUSIBLE_S, SLOW_S, SyncLatency, measure_sync
from edge_agent.health.time_services import remedy
from edge_agent.installation.starts import loop_problem, read_starts, unasked
from edge_agent.installation.state_files import configured_paths, unexpected_files
from edge_agent.settings import Settings
from edge_agent.status.folders import StatusFolders
from edge_agent.status.host import has_few_inodes, unexpected_in_words, volatile_problem

SMALLEST_BOX_BYTES: Final = 256 << 20
"""A site of a few tags holds 87 MB, a first start with a new bundle 159 MB (docs/RUNBOOK.md)."""


class Result(StrEnum):
    OK = "ok"
    WARNING = "warning"
    BAD = "bad"
    """The agent cannot record, or cannot deliver, like this."""


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found."""

    name: str
    result: Result
    what: str
    do: str | None = None


def check_state_folder(settings: Settings) -> list[Check]:
    """Return whether it lasts, and whether there is room in it."""
    folder = settings.gateway.state_dir
    try:
        found = file_system_of(folder)
    except OSError as exc:
        return [Check("state folder", Result.BAD, f"{folder} cannot be looked at: {exc.strerror}", "use sudo")]
    checks = [_durability(settings, found), _free_space(settings, found)]
    return [*checks, *_inodes(found), *_unexpected_files(settings)]


def _unexpected_files(settings: Settings) -> list[Check]:
    folder = settings.gateway.state_dir
    names = unexpected_files(folder, configured_paths(settings))
    return [Check("state files", Result.OK, unexpected_in_words(folder, names))] if names else []


def measure_state_folder(settings: Settings) -> tuple[Check, SyncLatency | None]:
    """Return how long a small write takes to be on the disk; a file is made and removed there."""
    name, folder = "writes", _existing(settings.gateway.state_dir)
    who = user_name(os.geteuid())
    try:
        took = measure_sync(folder)
    except PermissionError:
        return Check(name, Result.WARNING, f"{who} may not write to {folder}: not measured", "use sudo"), None
    except OSError as exc:
        do = f"is {folder} mounted read-write, and does its file system sync? mount; dmesg"
        return Check(
            name, Result.BAD, f"no synced write in {folder}: {exc.strerror}", hint_of_full_disk(folder, do)
        ), None
    figures = f"{took.writes} small writes in {folder}: {_ms(took.median_s)} each, {_ms(took.worst_s)} at worst"
    if not took.is_plausible:
        what = f"this file system confirms writes in {took.median_s * 1e6:.1f} us: it does not really sync ({figures})"
        do = "what it confirms is lost at a power cut: another disk, its mount options, no library that skips syncs"
        return Check(name, Result.WARNING, what, do), took
    if took.median_s >= SLOW_S * min(1.0, settings.outbox.flush_interval_s):
        do = "a card at its end, or one that is written to by others: replace it, or raise outbox.flush_interval_s"
        return Check(name, Result.WARNING, f"slow: {figures}", do), took
    return Check(name, Result.OK, figures), took


def check_runtime_folder(settings: Settings) -> Check:
    """Return whether the status socket can be made there."""
    name, folder = "runtime folder", settings.gateway.runtime_dir
    try:
        found, is_there = file_system_of(folder), folder.is_dir()
    except OSError as exc:
        return Check(name, Result.WARNING, f"{folder} cannot be looked at: {exc.strerror}", "use sudo")
    if found.is_read_only:
        what = f"{folder} is read-only: the status will stand in {settings.gateway.state_dir}"
        do = "set gateway.runtime_dir to a folder in memory (RuntimeDirectory= of the service)"
        return Check(name, Result.WARNING, what, do)
    if not is_there:
        return Check(name, Result.OK, f"{folder} is not there yet; the agent or systemd makes it")
    return Check(name, Result.OK, f"{folder} ({found.type or 'file system unknown'})")


def check_clock() -> Check:
    """Return whether the kernel's clock is disciplined."""
    if ask_kernel().is_synced:
        return Check("clock", Result.OK, "synchronised")
    return Check("clock", Result.WARNING, "not synchronised: the quality of readings is capped at 0.5", remedy())


def check_memory() -> Check:
    """Return what this box or container has; the service may have a limit of its own."""
    memory = memory_of_this_process()
    if memory.limit_bytes is None:
        return Check("memory", Result.OK, "cannot be told on this system")
    whose = "this control group" if memory.is_group else "this box"
    available = "" if memory.available_bytes is None else f", {memory.available_bytes / 1e6:.0f} MB available"
    what = f"{whose} has {memory.limit_bytes / 1e6:.0f} MB{available}"
    if memory.limit_bytes < SMALLEST_BOX_BYTES:
        do = "few sources and no sound; `edge-agent status --json` tells what the agent holds (box.memory_held_bytes)"
        return Check("memory", Result.WARNING, f"little: {what}", do)
    return Check("memory", Result.OK, what)


def check_starts(settings: Settings) -> Check:
    """Return how often the agent was started lately without being asked to stop."""
    found = unasked(read_starts(settings.gateway.state_dir), now_s=SystemClock().now_ns() / 1e9)
    loop = loop_problem(found)
    if loop is None:
        return Check("starts", Result.OK, f"{len(found)} in the last hour that nobody asked for")
    return Check("starts", Result.WARNING, *loop)


def check_agent(settings: Settings) -> Check:
    """Return whether an agent answers with this configuration."""
    folders = StatusFolders(settings.gateway.runtime_dir, settings.gateway.state_dir)
    try:
        document = folders.ask()
    except DaemonUnreachableError as exc:
        return Check("agent", Result.OK, f"does not run: {exc.message}", exc.hint)
    return Check("agent", Result.OK, f"runs, {document.get('state')}: {document.get('summary')}")


def check_sources(settings: Settings) -> list[Check]:
    """Return what the sources' settings permit and is dangerous all the same; no device is asked."""
    return [Check("sources", Result.WARNING, what, do) for source in settings.sources for what, do in source.warnings]


def check_models(settings: Settings) -> list[Check]:
    """Return whether the bundles that sources and tag models name are in their folder; none is loaded."""
    # Imported here: the other checks need nothing of it.
    from edge_agent.bundles.champion_file import read_pointer
    from edge_agent.bundles.folders import is_there

    wanted = {s.model for s in settings.waveform_sources if s.model}
    wanted |= {tag_model.model for tag_model in settings.tag_models}
    if wanted and not is_there(settings.models.dir):
        what = f"the folder of bundles {settings.models.dir} is not there"
        return [Check("models", Result.BAD, what, "models.dir in the site's file says where it is")]
    checks = []
    for name in sorted(wanted):
        try:
            version = read_pointer(settings.models.dir / name).version
        except BundleError as exc:
            checks.append(Check("models", Result.BAD, exc.message, exc.hint))
        else:
            checks.append(Check("models", Result.OK, f"{name} {version} (edge-agent models verify proves it here)"))
    return checks


def _durability(settings: Settings, found: FileSystem) -> Check:
    name, folder = "state folder", settings.gateway.state_dir
    if found.is_read_only:
        return Check(name, Result.BAD, f"{folder} is read-only", "mount it read-write, or set gateway.state_dir")
    volatile = volatile_problem(folder, found)
    if volatile is None:
        return Check(name, Result.OK, f"{folder} on {found.type or 'an unknown file system'}")
    if settings.gateway.accept_volatile_state:
        return Check(name, Result.OK, f"{volatile[0]} (accepted: gateway.accept_volatile_state)")
    return Check(name, Result.WARNING, *volatile)


def _free_space(settings: Settings, found: FileSystem) -> Check:
    floor = floor_bytes(found.folder, settings.outbox.min_free_bytes)
    left = found.free_bytes - floor
    what = f"{found.free_bytes / 1e6:.0f} MB free, {floor / 1e6:.3g} MB of them stay free for others"
    if left <= 0:
        do = f"free space on the disk of {found.folder}, or a lower outbox.min_free_bytes"
        return Check("room", Result.BAD, f"{what}: none is left for the outbox", do)
    if left < settings.outbox.max_bytes:
        return Check("room", Result.OK, f"{what}; that ends the outbox before outbox.max_bytes does")
    return Check("room", Result.OK, what)


def _inodes(found: FileSystem) -> list[Check]:
    if found.free_inodes is None:
        return []
    do = "remove old files there (df -i shows where they are many)" if has_few_inodes(found) else None
    result = Result.WARNING if has_few_inodes(found) else Result.OK
    return [Check("inodes", result, f"{found.free_inodes} of {found.total_inodes} are left", do)]


def _existing(folder: Path) -> Path:
    try:
        return file_system_of(folder).folder
    except OSError:
        return folder


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds >= IMPLAUSIBLE_S else f"{seconds * 1e6:.1f} us"
