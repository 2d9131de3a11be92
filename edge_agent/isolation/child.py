"""The child's side: one request after another from standard input, until that ends. Runs functions of this package.

Constraints
- Only functions of modules of this project run here; the request names one.
- An error of ours goes back as such. Anything else ends the process with its traceback: the parent reads the last line.
- A signal that is meant for the parent (Ctrl-C in the terminal, a stop of the unit) is not for the child: it ends when
  its standard input does, or after standing idle.
"""

from __future__ import annotations

import importlib
import os
import resource
import select
import signal
import sys
from collections.abc import Callable
from typing import Any, BinaryIO, Final

from edge_agent.errors import EdgeError
from edge_agent.isolation.frames import PREFIX, decode, encode

PACKAGES: Final = ("edge_agent", "converters")
IDLE_S: Final = 60.0
"""A parser with its libraries holds 60 to 120 MB: too much for what is used once a day."""


def main() -> None:
    """Serve requests: [function, arguments, memory in bytes, processor seconds] -> {"value"} or {"error"}."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    while _is_asked(requests):
        head = requests.read(PREFIX.size)
        if len(head) < PREFIX.size:
            return
        n_header, n_body = PREFIX.unpack(head)
        header = requests.read(n_header)
        body = requests.read(n_body)
        name, arguments, memory_bytes, cpu_s = decode(header, memoryview(body))
        del body
        _limit(memory_bytes, cpu_s)
        for piece in encode(_answer(_function(name), arguments)):
            answers.write(piece)
        answers.flush()


def _is_asked(requests: BinaryIO) -> bool:
    return bool(select.select([requests], [], [], IDLE_S)[0])


def _function(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    if module.split(".")[0] not in PACKAGES:
        raise ValueError(f"{name} is no function of this project")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


def _limit(memory_bytes: int, cpu_s: int) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent_s = int(used.ru_utime + used.ru_stime) + 1
    for kind, limit in ((resource.RLIMIT_AS, memory_bytes), (resource.RLIMIT_CPU, spent_s + cpu_s)):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def _answer(function: Callable[..., Any], arguments: list[Any]) -> dict[str, Any]:
    try:
        return {"value": function(*arguments)}
    except EdgeError as exc:
        return {"error": type(exc).__name__, "message": exc.message, "hint": exc.hint}
    except MemoryError:
        return {"error": "MemoryError"}


if __name__ == "__main__":
    main()
