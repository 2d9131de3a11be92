"""The parent's side: hands a function of this package and its arguments to a fresh interpreter, and waits for it.

Libraries in C that read foreign formats end the whole process over a damaged file. Here they end a child: the
agent goes on, and says which file it was. One child reads many files; a new one is started after a death.

Constraints
- A fresh interpreter, never a fork: a fork of a process with threads may hold their locks for ever.
- Memory and processor time are limited per call by the kernel, elapsed time by us; what comes back is bounded.
- Calls from several threads wait for one another: one parser at a time is what a small box can carry.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, Final

from edge_agent import errors
from edge_agent.errors import EdgeError, ParserDiedError
from edge_agent.isolation.frames import MAX_HEADER_BYTES, PREFIX, MessageError, Piece, decode, encode

_START: Final = (
    "import json,sys; sys.path[:] = json.loads(sys.argv[1]); from edge_agent.isolation.child import main; main()"
)
_AS_PARENT: Final = ("-B",) if sys.dont_write_bytecode else ()  # the variable that says so is ignored with -I
_MOST_STDERR_BYTES: Final = 4096
_CHUNK_BYTES: Final = 2**20
_END_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """Of one call. `memory_bytes` is address space: libraries alone take 300 to 700 MB of it."""

    memory_bytes: int = 2 * 2**30
    cpu_s: int = 60
    wall_s: float = 180.0
    answer_bytes: int = 2**30


class ParserProcess:
    """A child that parses. Starts with the first call and again after a death; ends by itself when it stands idle."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None
        atexit.register(self.close)

    def call(self, function: Callable[..., Any], *arguments: Any, limits: ProcessLimits | None = None) -> Any:
        """Run `function(*arguments)` in the child and return what it returns (tuples as lists, arrays read-only).

        Raises
        ------
        EdgeError
            Of the kind the function raised.
        ParserDiedError
            The child ended, took too long or asked for too much memory; its message says which, without a subject.
        """
        limits = limits or ProcessLimits()
        name = f"{function.__module__}:{function.__qualname__}"
        request = encode([name, list(arguments), limits.memory_bytes, limits.cpu_s])
        with self._lock:
            answer = self._ask(request, limits)
        if "value" in answer:
            return answer["value"]
        raise _error(answer, limits)

    def close(self) -> None:
        """End the child, if there is one."""
        with self._lock:
            self._end()

    def interrupt(self) -> None:
        """End the child whatever it does, without waiting: who waits for its answer gets ParserDiedError."""
        child = self._child
        if child is not None:
            child.kill()

    def _ask(self, request: list[Piece], limits: ProcessLimits) -> dict[str, Any]:
        deadline = time.monotonic() + limits.wall_s
        try:
            try:
                return self._exchange(request, limits, deadline)
            except _IdleEndError:
                return self._exchange(request, limits, deadline)  # it went as we came: ask a new one
        except (OSError, MessageError, EOFError, TimeoutError) as exc:
            raise self._death(exc, limits) from exc

    def _exchange(self, request: list[Piece], limits: ProcessLimits, deadline: float) -> dict[str, Any]:
        child = self._running()
        try:
            _write(child, request, deadline)
            return _read_answer(child, limits.answer_bytes, deadline)
        except (BrokenPipeError, EOFError):
            if child.wait(_END_S) == 0:
                raise _IdleEndError from None
            raise

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is not None and self._child.poll() is None:
            return self._child
        self._end()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the child)
        self._child = subprocess.Popen(
            [sys.executable, *_AS_PARENT, "-I", "-c", _START, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            bufsize=0,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1"},
            start_new_session=True,
        )
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
        return self._child

    def _death(self, exc: Exception, limits: ProcessLimits) -> ParserDiedError:
        """What ended the child, in words; it is gone after this."""
        child, is_late = self._child, isinstance(exc, TimeoutError)
        code = None
        if child is not None and not is_late:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = child.wait(_END_S)
        last_output = self._last_output()
        self._end()
        if is_late:
            return ParserDiedError(f"the parser was stopped after {limits.wall_s:g} s")
        if code is not None and code < 0:
            return _signalled(-code, limits)
        return ParserDiedError(f"the parser ended: {last_output or exc}")

    def _last_output(self) -> str:
        if self._stderr is None:
            return ""
        self._stderr.seek(max(0, self._stderr.seek(0, os.SEEK_END) - _MOST_STDERR_BYTES))
        lines = self._stderr.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:200] if lines else ""

    def _end(self) -> None:
        child, stderr = self._child, self._stderr
        self._child = self._stderr = None
        if child is not None:
            if child.poll() is None:
                child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()
        if stderr is not None:
            stderr.close()


class _IdleEndError(Exception):
    """The child ended by itself, without a request."""


def _signalled(number: int, limits: ProcessLimits) -> ParserDiedError:
    name = signal.Signals(number).name
    if number == signal.SIGXCPU:
        return ParserDiedError(f"the parser was stopped after {limits.cpu_s} s of processor time")
    return ParserDiedError(f"the parser ended by signal {name}")


def _error(answer: dict[str, Any], limits: ProcessLimits) -> EdgeError:
    kind = str(answer.get("error"))
    if kind == "MemoryError":
        return ParserDiedError(f"the parser wanted more than {limits.memory_bytes // 2**20} MiB of memory")
    found = getattr(errors, kind, EdgeError)
    hint = answer.get("hint")
    return found(str(answer.get("message")), hint=None if hint is None else str(hint))


def _write(child: subprocess.Popen[bytes], pieces: list[Piece], deadline: float) -> None:
    assert child.stdin is not None  # noqa: S101 (it was asked for)
    for piece in pieces:
        rest = memoryview(piece).cast("B") if memoryview(piece).nbytes else memoryview(b"")
        while len(rest):
            _wait_for(child.stdin.fileno(), selectors.EVENT_WRITE, deadline)
            rest = rest[os.write(child.stdin.fileno(), rest[:_CHUNK_BYTES]) :]


def _read_answer(child: subprocess.Popen[bytes], most: int, deadline: float) -> dict[str, Any]:
    assert child.stdout is not None  # noqa: S101 (it was asked for)
    source = child.stdout.fileno()
    n_header, n_body = PREFIX.unpack(_read_exactly(source, PREFIX.size, deadline))
    if n_header > MAX_HEADER_BYTES or n_body > most:
        raise MessageError(f"it answered with {n_header + n_body} bytes")
    header, body = _read_exactly(source, n_header, deadline), _read_exactly(source, n_body, deadline)
    answer = decode(bytes(header), memoryview(body).toreadonly())
    if not isinstance(answer, dict):
        raise MessageError("it answered with no table")
    return answer


def _read_exactly(source: int, count: int, deadline: float) -> bytearray:
    out = bytearray(count)
    view, at = memoryview(out), 0
    while at < count:
        _wait_for(source, selectors.EVENT_READ, deadline)
        got = os.readv(source, [view[at : at + _CHUNK_BYTES]])
        if got == 0:
            raise EOFError("it ended before it had answered")
        at += got
    return out


def _wait_for(descriptor: int, event: int, deadline: float) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, event)
        if not selector.select(max(0.0, deadline - time.monotonic())):
            raise TimeoutError
