"""`edge-agent demo`: the whole pipeline on this machine, with a live view or one JSON summary."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.live import Live

from cloud_sync.host.stop_signals import StopSignals
from cloud_sync.host.terminal import unguarded
from edge_agent.demo.audit import Audit
from edge_agent.demo.processes import STOP_TIMEOUT_S
from edge_agent.demo.stack import Snapshot, Stack, prepare_folders
from edge_agent.demo.view import as_line, render, windows_scored
from edge_agent.errors import ConfigurationError
from edge_agent.installation.state_lock import only_one
from edge_agent.status.words import counted

LOOK_EVERY_S: Final = 0.5
ENDED_WITHIN_S: Final = 4 * STOP_TIMEOUT_S  # three children, one after the other, and the count of the keys
LINE_EVERY_S: Final = 10.0


def run_demo(*, duration_s: float | None, as_json: bool, state_dir: Path, data_dir: Path | None) -> int:
    """Return 0 when nothing was lost and nothing doubled, 1 otherwise. Raises EdgeError when a part cannot start."""
    folders = prepare_folders(state_dir, data_dir)
    try:
        with _only_demo(folders.state_dir):
            signals = StopSignals(within_s=ENDED_WITHIN_S).listen()
            summary = asyncio.run(_run(Stack(folders), signals, duration_s=duration_s, as_json=as_json))
    finally:
        shutil.rmtree(folders.runtime_dir, ignore_errors=True)
    if summary is None:
        return 1
    print(json.dumps(summary) if as_json else _as_text(summary, folders.state_dir))
    return 0 if summary["lost"] == summary["duplicated"] == 0 else 1


@contextlib.contextmanager
def _only_demo(state_dir: Path) -> Iterator[None]:
    """Before anything is started: a second demo would write over the logs and keys of the first."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(only_one(state_dir))
        except ConfigurationError as exc:
            raise ConfigurationError(
                f"another demo is running on {state_dir}", hint="stop it with Ctrl-C, or choose another --state"
            ) from exc
        yield


async def _run(stack: Stack, signals: StopSignals, *, duration_s: float | None, as_json: bool) -> dict[str, Any] | None:
    signals.attach()
    stop = signals.asked
    _print_line("starting the central with its database, the plant and the gateway ...")
    async with stack.running(stop):
        if stop.is_set():
            _print_line("stopped while starting")
            return None
        run = _Run(duration_s)
        if as_json or not sys.stdout.isatty():
            await _watch_lines(stack, stop, run)
        else:
            await _watch_screen(stack, stop, run)
        ran_s = run.seconds
        _print_line("stopping: the gateway delivers what it has, then keys are counted on both sides ...")
        result, last = await stack.finish()
    return _summary(result, last, ran_s)


class _Run:
    """How long everything ran together: from the gateway's first answer on, since it may take long to start."""

    def __init__(self, duration_s: float | None) -> None:
        self._duration_s = duration_s
        self._began_s: float | None = None

    def look(self, snapshot: Snapshot) -> None:
        if self._began_s is None and snapshot.gateway is not None:
            self._began_s = time.monotonic()

    @property
    def seconds(self) -> float:
        return 0.0 if self._began_s is None else time.monotonic() - self._began_s

    @property
    def is_over(self) -> bool:
        return self._duration_s is not None and self._began_s is not None and self.seconds >= self._duration_s


async def _watch_screen(stack: Stack, stop: asyncio.Event, run: _Run) -> None:
    started_s = time.monotonic()
    console = Console(file=unguarded(sys.stdout), markup=False, emoji=False)  # a text in brackets is no markup
    with Live(console=console, refresh_per_second=4, screen=True) as live:
        while not (stop.is_set() or run.is_over):
            snapshot = await stack.look()
            run.look(snapshot)
            live.update(render(snapshot, time.monotonic() - started_s))
            await _pause(stop, LOOK_EVERY_S)


async def _watch_lines(stack: Stack, stop: asyncio.Event, run: _Run) -> None:
    started_s, next_line_s = time.monotonic(), 0.0
    while not (stop.is_set() or run.is_over):
        snapshot, elapsed_s = await stack.look(), time.monotonic() - started_s
        run.look(snapshot)
        if elapsed_s >= next_line_s:
            _print_line(as_line(snapshot, elapsed_s))
            next_line_s += LINE_EVERY_S
        await _pause(stop, LOOK_EVERY_S)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()


def _print_line(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _summary(result: Audit, last: dict[str, Any] | None, ran_s: float) -> dict[str, Any]:
    return {
        "duration_s": round(ran_s, 1),
        "readings": result.handed_over,
        "windows_scored": 0 if last is None else windows_scored(last),
        "rows_committed": result.committed,
        "waiting": result.waiting,
        "lost": result.lost,
        "duplicated": result.duplicated,
        "unexpected": result.unexpected,
        "alarms": result.alarms,
        "gaps": result.gaps,
    }


def _as_text(summary: dict[str, Any], state_dir: Path) -> str:
    return (
        f"\n{summary['windows_scored']} windows scored in {summary['duration_s']:.0f} s\n"
        f"{summary['readings']} readings made durable by the gateway, {summary['rows_committed']} of them committed "
        f"at the central, {summary['waiting']} waiting\n"
        f"lost {summary['lost']}, doubled {summary['duplicated']} (counted by keys on both sides)\n"
        f"{counted(summary['alarms'], 'alarm')}, {counted(summary['gaps'], 'gap')}\n"
        f"The state is in {state_dir}; the next run continues from it."
    )
