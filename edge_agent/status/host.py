"""What `status` says of the box below the agent: does its state last, is there room, does it restart?

Its fields are a contract (docs/CLI_OUTPUT.md). Nothing here ends a recording: each is said, with what to do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edge_agent.core.clock import Clock
from edge_agent.health.file_systems import Durability, FileSystem, file_system_of
from edge_agent.health.memory import Memory, memory_of_this_process
from edge_agent.installation.starts import Start, loop_problem, read_starts, unasked
from edge_agent.installation.state_files import configured_paths, unexpected_files
from edge_agent.settings import Settings
from edge_agent.status.fields import problem
from edge_agent.status.folders import StatusFolders
from edge_agent.status.local_socket import LocalApi
from edge_agent.status.words import counted

FEW_INODES: Final = 100
_FEW_SHARE: Final = 20
MEMORY_SHARE: Final = 0.9
LEAST_AVAILABLE_BYTES: Final = 16 << 20

_ON_PURPOSE: Final = "or, when that is meant: gateway.accept_volatile_state = true"


@dataclass(frozen=True, slots=True)
class HostHealth:
    """One look. `since_ns`: when each kind of problem was first seen in this run."""

    state_dir: Path
    file_system: FileSystem | None
    memory: Memory
    starts: tuple[Start, ...] = ()
    """Of the last hour, that nobody asked for; with the newest end in the last of them."""
    answers_at: Path | None = None
    refused: str | None = None
    """Why it does not answer in the runtime folder."""
    is_volatile_accepted: bool = False
    unexpected_files: tuple[str, ...] = ()
    """What the state folder holds that is not the agent's."""
    started_ns: int | None = None
    first_seen_ns: dict[str, int] = field(default_factory=dict)


class HostWatch:
    """Owns where the status is answered and left, and remembers since when something of the box is so."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        *,
        describe: Callable[[], Awaitable[dict[str, Any]]],
    ) -> None:
        self._settings = settings.gateway
        self._configured = configured_paths(settings)
        self.folders = StatusFolders(settings.gateway.runtime_dir, settings.gateway.state_dir)
        self.api = LocalApi(*self.folders.sockets, describe=describe)
        self._clock = clock
        self._started_ns = clock.now_ns()
        self._first_seen_ns: dict[str, int] = {}

    def look(self) -> HostHealth:
        """Ask the kernel: blocks as long as a disk that does not answer."""
        now_ns, state_dir = self._clock.now_ns(), self._settings.state_dir
        try:
            found = file_system_of(state_dir)
        except OSError:  # what reads and writes there says it
            found = None
        health = HostHealth(
            state_dir=state_dir,
            file_system=found,
            memory=memory_of_this_process(),
            starts=tuple(unasked(read_starts(state_dir), now_s=now_ns / 1e9)),
            answers_at=self.api.path,
            refused=self.api.refused,
            is_volatile_accepted=self._settings.accept_volatile_state,
            unexpected_files=tuple(unexpected_files(state_dir, self._configured)),
            started_ns=self._started_ns,
            first_seen_ns=self._first_seen_ns,
        )
        self._remember("inodes", has_few_inodes(found), now_ns)
        self._remember("memory", is_short_of_memory(health.memory), now_ns)
        return health

    def warnings(self) -> list[str]:
        """Return what the log should hold of it at the start, a line each."""
        health = self.look()
        lines = [f"{found['what']}; {found['do']}" for found in host_problems(health)]
        if health.unexpected_files:
            lines.append(unexpected_in_words(health.state_dir, health.unexpected_files))
        return lines

    def _remember(self, what: str, is_so: bool, now_ns: int) -> None:
        if not is_so:
            self._first_seen_ns.pop(what, None)
        else:
            self._first_seen_ns.setdefault(what, now_ns)


def describe_host(host: HostHealth) -> dict[str, Any]:
    """Return the field `box`."""
    found = host.file_system
    return {
        "state_file_system": found.type if found else None,
        "state_durability": found.durability.value if found else None,
        "state_free_bytes": found.free_bytes if found else None,
        "state_free_inodes": found.free_inodes if found else None,
        "memory_held_bytes": host.memory.held_bytes,
        "memory_limit_bytes": host.memory.limit_bytes,
        "unasked_starts": len(host.starts),
        "last_end": host.starts[-1].before if host.starts else None,
        "unexpected_files": list(host.unexpected_files),
        "answers_at": None if host.answers_at is None else str(host.answers_at),
    }


def unexpected_in_words(state_dir: Path, names: Sequence[str]) -> str:
    """Return what lies in the state folder and is not the agent's."""
    return f"{state_dir} holds files that are not the agent's; they are left alone: {', '.join(names)}"


def host_problems(host: HostHealth) -> list[dict[str, Any]]:
    """Return what is wrong with the box, since when, what to do."""
    out = []
    if host.refused is not None:
        out.append(_answering_problem(host, host.refused))
    volatile = None if host.is_volatile_accepted else volatile_problem(host.state_dir, host.file_system)
    if volatile is not None:
        out.append(problem(volatile[0], host.started_ns, volatile[1]))
    if has_few_inodes(host.file_system) and host.file_system is not None:
        inodes = host.file_system.free_inodes or 0
        what = f"the disk of {host.state_dir} has {counted(inodes, 'inode')} left: then no file can be made there"
        do = "remove old files there (df -i shows where they are many); the open outbox records on meanwhile"
        out.append(problem(what, host.first_seen_ns.get("inodes"), do))
    if is_short_of_memory(host.memory):
        out.append(_memory_problem(host))
    if (loop := loop_problem(host.starts)) is not None:
        out.append(problem(loop[0], int(host.starts[0].at_s * 1e9), loop[1]))
    return out


def volatile_problem(state_dir: Path, found: FileSystem | None) -> tuple[str, str] | None:
    """Return what is lost when the power fails, and how to move it; None when it lasts, as far as one can see."""
    if found is None:
        return None
    if found.durability is Durability.IN_MEMORY:
        what = f"the state folder {state_dir} is in memory ({found.type}): what waits there is lost at a power cut"
        return what, f"set gateway.state_dir to a folder on a disk or card (RUNBOOK, Poor boxes); {_ON_PURPOSE}"
    if found.durability is Durability.IN_A_LAYER:
        what = (
            f"the state folder {state_dir} is in a layer of an overlay: what waits there is lost with the container, "
            "or at a restart when the layer is in memory"
        )
        return what, f"mount a volume or a disk at {state_dir}, or set gateway.state_dir to one; {_ON_PURPOSE}"
    return None


def has_few_inodes(found: FileSystem | None) -> bool:
    """Return whether so few are left that a start, a log or a download may want the last one."""
    if found is None or found.free_inodes is None or found.total_inodes is None:
        return False
    return found.free_inodes <= min(FEW_INODES, found.total_inodes // _FEW_SHARE)


def is_short_of_memory(memory: Memory) -> bool:
    """Return whether the kernel is about to end a program: ours at its limit, or any when the box has no more."""
    at_limit = memory.held_bytes is not None and memory.limit_bytes is not None
    if at_limit and (memory.held_bytes or 0) > MEMORY_SHARE * (memory.limit_bytes or 0):
        return True
    return memory.available_bytes is not None and memory.available_bytes < LEAST_AVAILABLE_BYTES


def _memory_problem(host: HostHealth) -> dict[str, Any]:
    memory = host.memory
    whose = "its group (MemoryMax=, or the container)" if memory.is_group else "the box"
    held, limit = (memory.held_bytes or 0) / 1e6, (memory.limit_bytes or 0) / 1e6
    what = f"memory is short: the agent holds {held:.0f} MB of the {limit:.0f} MB of {whose}; the kernel may end it"
    do = "fewer channels or sources, a larger MemoryMax= of the service, or a box with more memory"
    return problem(what, host.first_seen_ns.get("memory"), do)


def _answering_problem(host: HostHealth, refused: str) -> dict[str, Any]:
    where = f"it answers at {host.answers_at}" if host.answers_at else "nobody can ask it"
    what = f"the status socket {refused}; recording goes on, and {where}"
    do = "make gateway.runtime_dir a folder the agent may write to (RuntimeDirectory= of the service), then restart it"
    return problem(what, host.started_ns, do)
