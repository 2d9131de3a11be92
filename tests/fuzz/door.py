"""A door: where something from outside comes in. Its contract: a value or one of its documented errors, with a message
that a terminal can show, within a bound of time and memory. Everything else is a finding."""

from __future__ import annotations

import contextlib
import random
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from cloud_sync.host.printable import is_printable

CPU_S_PER_INPUT = 10.0  # of this process, so that a busy machine changes nothing
GROWTH_BYTES = 400_000_000
_LOOK_EVERY = 25

Enter = Callable[[bytes], object]


@dataclass(frozen=True)
class Door:
    """`make` gives one input; `opened` sets up once what every input goes through, and hands out the way in."""

    name: str
    make: Callable[[random.Random], bytes]
    opened: Callable[[], AbstractContextManager[Enter]]
    errors: tuple[type[Exception], ...]
    in_tests: int = 150
    """How many inputs `make test` sends: fewer where each takes tenths of a second."""


@dataclass
class Findings:
    door: str
    inputs: int = 0
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)
    growth_bytes: int = 0
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        return {
            "door": self.door, "inputs": self.inputs, "accepted": self.accepted, "refused": sum(self.refused.values()),
            "refused_by": dict(self.refused), "unexpected": len(self.unexpected),
            "growth_mb": round(self.growth_bytes / 1e6), "seconds": round(self.seconds, 1),
        }  # fmt: skip


class TooLongError(BaseException):
    """One input took more time than any may; no door may catch it."""


def simple(enter: Enter) -> Callable[[], AbstractContextManager[Enter]]:
    """For a door that needs nothing set up."""
    return lambda: contextlib.nullcontext(enter)


def input_of(door: Door, seed: int, number: int) -> bytes:
    """Return one input again, whatever came before it."""
    return door.make(random.Random(f"{seed}:{door.name}:{number}"))


def fuzz(
    door: Door,
    *,
    seed: int,
    first: int = 0,
    inputs: int | None,
    seconds: float = float("inf"),
    folder: Path | None = None,
) -> Findings:
    """Send inputs in until one of the bounds; keep each that is a finding in `folder`, with what happened."""
    found, began_s, base = Findings(door.name), time.monotonic(), peak_bytes(reset=True)
    number = first
    with door.opened() as enter:
        while (inputs is None or number < first + inputs) and time.monotonic() - began_s < seconds:
            content = input_of(door, seed, number)
            reason = _once(door, enter, content, found)
            if reason is None and number % _LOOK_EVERY == 0:
                found.growth_bytes = max(found.growth_bytes, peak_bytes(reset=False) - base)
                if found.growth_bytes > GROWTH_BYTES:
                    reason = f"the process grew by {found.growth_bytes} bytes at one of the last {_LOOK_EVERY} inputs"
                    base = peak_bytes(reset=True)
            if reason is not None:
                found.unexpected.append(f"--door {door.name} --seed {seed} --first {number} --inputs 1: {reason}")
                _keep(folder, door, seed, number, content, reason)
            number += 1
    found.inputs, found.seconds = number - first, time.monotonic() - began_s
    return found


def _once(door: Door, enter: Enter, content: bytes, found: Findings) -> str | None:
    """Why this input is a finding, or None."""
    try:
        with _cpu_bound():
            enter(content)
    except TooLongError:
        return f"more than {CPU_S_PER_INPUT:g} s of CPU"
    except door.errors as exc:
        found.refused[type(exc).__name__] += 1
        said = "\n".join(str(part) for part in (getattr(exc, "message", exc), getattr(exc, "hint", None) or ""))
        lines = said.split("\n")
        return None if all(map(is_printable, lines)) else f"the message holds control characters: {said!r:.300}"
    except Exception:  # noqa: BLE001 (the whole point: any other is a finding)
        return traceback.format_exc(limit=-3)
    found.accepted += 1
    return None


@contextlib.contextmanager
def _cpu_bound() -> Iterator[None]:
    def over(_: int, __: FrameType | None) -> None:
        raise TooLongError

    before = signal.signal(signal.SIGVTALRM, over)
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_S_PER_INPUT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def peak_bytes(*, reset: bool) -> int:
    """Return the most memory this process had resident, since the last reset where the kernel lets us."""
    if reset:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _keep(folder: Path | None, door: Door, seed: int, number: int, content: bytes, reason: str) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder / f"{door.name}-{seed}-{number}"
        kept.with_suffix(".input").write_bytes(content)
        kept.with_suffix(".reason").write_text(reason)
