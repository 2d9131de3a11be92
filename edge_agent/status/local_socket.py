"""How the daemon answers on this box: a unix socket that hands out the status, and a file that outlives it.

The socket gives one JSON document per connection and closes. It takes no commands, so whoever may open it
can only look.
"""

from __future__ import annotations

import asyncio
import contextlib
import grp
import json
import os
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from cloud_sync.host.printable import printable, printable_tree
from cloud_sync.host.private_files import open_private, user_name
from edge_agent.errors import ConfigurationError, DaemonUnreachableError
from edge_agent.installation.process import this_process
from edge_agent.installation.state_lock import only_socket

SOCKET_FILE: Final = "edge-agent.sock"
STATUS_FILE: Final = "status.json"
"""Both in the runtime folder."""

SOCKET_PATH_MAX: Final = 107  # bytes; Linux's sun_path
ANSWER_TIMEOUT_S: Final = 3.0
MAX_CLIENTS: Final = 32
SAME_FOR_S: Final = 0.05
MAX_STATUS_BYTES: Final = 32_000_000  # a thousand sources have a tenth of it
SOCKET_MODE: Final = 0o660
STATUS_MODE: Final = 0o640
"""The agent's group may look, also when the agent is dead; nobody else. What waits in the outbox is in neither."""
CLOSE_TIMEOUT_S: Final = 0.5


class LocalApi:
    """Serves while entered, at the first of the paths where the file system lets it; nowhere when none does."""

    def __init__(self, *paths: Path, describe: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        self._paths = paths
        self.path: Path | None = None
        """Where it answers."""
        self.refused: str | None = None
        """Why it does not answer at the first path."""
        self._describe = describe
        self._server: asyncio.Server | None = None
        self._held = contextlib.ExitStack()
        self._inode: tuple[int, int] | None = None
        self._clients = 0
        self._describing = asyncio.Lock()
        self._said, self._said_at_s = b"", -SAME_FOR_S
        self.turned_away_total = 0
        """Connections beyond `MAX_CLIENTS`, closed without an answer."""

    async def __aenter__(self) -> Self:
        """Raises ConfigurationError for a path that is too long and for a folder where another agent answers."""
        if len(str(self._paths[0]).encode()) > SOCKET_PATH_MAX:
            raise ConfigurationError(
                f"{self._paths[0]} is too long for a unix socket", hint="choose a shorter gateway.runtime_dir"
            )
        for path in self._paths:
            try:
                await self._serve(path)
                break
            except OSError as exc:  # read-only, full, closed: recording goes on without
                self._held.close()
                self.refused = self.refused or f"{path} cannot be made: {exc.strerror or exc}"
        return self

    async def _serve(self, path: Path) -> None:
        self._held.enter_context(only_socket(path.parent))
        self._server = await asyncio.start_unix_server(self._answer, sock=self._bound(path))
        self.path = path

    def _bound(self, path: Path) -> socket.socket:
        """The mode is given before anybody can connect: listening begins later."""
        path.unlink(missing_ok=True)  # left by a killed daemon; the folder's lock says we are alone
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            link.bind(str(path))
            path.chmod(SOCKET_MODE)
            found = path.stat()
        except OSError:
            link.close()
            raise
        self._inode = (found.st_dev, found.st_ino)
        return link

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
            with contextlib.suppress(TimeoutError):  # from Python 3.12 on it waits for whoever reads slowly, too
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self._server.wait_closed()
        self._remove_ours()
        self._held.close()

    def _remove_ours(self) -> None:
        if self.path is None:
            return
        with contextlib.suppress(OSError):  # the folder may be gone by now
            found = self.path.stat()
            if (found.st_dev, found.st_ino) == self._inode:
                self.path.unlink()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._clients >= MAX_CLIENTS:
            self.turned_away_total += 1
            writer.transport.abort()
            return
        self._clients += 1
        try:
            writer.write(await self._document())
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError):  # it has gone, or does not read: what it was told goes with it
            writer.transport.abort()
        finally:
            self._clients -= 1

    async def _document(self) -> bytes:
        """Many who ask at once are told the same: a status costs some queries of the outbox."""
        async with self._describing:
            if time.monotonic() - self._said_at_s >= SAME_FOR_S:
                self._said = json.dumps(printable_tree(await self._describe())).encode()
                self._said_at_s = time.monotonic()
            return self._said


class StatusFile:
    """The last status, replaced atomically: what `status` reads when the daemon is dead."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, document: dict[str, Any]) -> bool:
        """Replace it. Returns False for a folder that is full, closed or lost: that must not stop the agent."""
        temporary = self._path.with_suffix(".tmp")
        try:
            with open_private(temporary, "w", encoding="utf-8") as file:
                os.fchmod(file.fileno(), STATUS_MODE)
                file.write(json.dumps(printable_tree(document | {"process": this_process()})))
            temporary.replace(self._path)
        except OSError:
            return False
        return True

    def read(self) -> dict[str, Any] | None:
        """Return the last whole document, or None. Raises DaemonUnreachableError for a closed one."""
        try:
            with self._path.open("rb") as file:
                document = _parsed(file.read(MAX_STATUS_BYTES + 1))
        except PermissionError as exc:
            raise not_allowed(self._path) from exc
        except (OSError, ValueError):
            return None
        return printable_tree(document) if isinstance(document, dict) else None


def ask_daemon(path: Path) -> dict[str, Any]:
    """Return the status of the daemon behind this socket. Raises DaemonUnreachableError. Needs no asyncio."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(ANSWER_TIMEOUT_S)
            link.connect(str(path))
            document = _parsed(_received(link))
    except PermissionError as exc:
        raise not_allowed(path) from exc
    except TimeoutError as exc:
        raise DaemonUnreachableError(
            f"the agent runs but has not answered for {ANSWER_TIMEOUT_S:.0f} s",
            hint="ask again; if it stays so, the disk may be slow or dying: journalctl -u edge-agent -n 30",
        ) from exc
    except OSError as exc:
        raise DaemonUnreachableError(f"nobody answers on {path}") from exc
    except ValueError as exc:
        raise DaemonUnreachableError(f"nobody answers on {path} with a status: {printable(exc, limit=200)}") from exc
    if not isinstance(document, dict):
        raise DaemonUnreachableError(f"{path} answers with something else than a status")
    found: dict[str, Any] = printable_tree(document)
    return found


def _received(link: socket.socket) -> bytes:
    """All of the answer, by one deadline. Raises TimeoutError, OSError, or ValueError when it has no end."""
    ends_s, answer = time.monotonic() + ANSWER_TIMEOUT_S, bytearray()
    while chunk := link.recv(65_536):
        answer += chunk
        if len(answer) > MAX_STATUS_BYTES:
            raise ValueError(f"more than {MAX_STATUS_BYTES} bytes came")
        left_s = ends_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        link.settimeout(left_s)
    return bytes(answer)


def _parsed(content: bytes) -> Any:
    """Raises ValueError. Our own words may hold NaN: not `parse_json`."""
    if len(content) > MAX_STATUS_BYTES:
        raise ValueError(f"it has more than {MAX_STATUS_BYTES} bytes")
    try:
        return json.loads(content)
    except RecursionError as exc:
        raise ValueError("it is nested too deep") from exc


def not_allowed(path: Path) -> DaemonUnreachableError:
    """Return the error that says whose it is, and how one gets in."""
    user, group = user_name(os.geteuid()), _group_of(path)
    if group in (None, "root"):
        return DaemonUnreachableError(f"{user} may not open {path}", hint="ask as root: sudo edge-agent status")
    hint = f"sudo edge-agent status; or for good: sudo usermod -aG {group} {user}, then log in again"
    if user in _members(group):
        hint = "log in again: you have joined the group since; until then: sudo edge-agent status"
    return DaemonUnreachableError(f"{user} may not open {path}: this session is not in the group {group}", hint=hint)


def _group_of(path: Path) -> str | None:
    """The group of the file, or of the folder that hides it."""
    for place in (path, *path.parents):
        try:
            return grp.getgrgid(place.stat().st_gid).gr_name
        except KeyError:
            return None
        except OSError:
            continue
    return None


def _members(group: str | None) -> list[str]:
    try:
        return grp.getgrnam(str(group)).gr_mem
    except KeyError:
        return []
