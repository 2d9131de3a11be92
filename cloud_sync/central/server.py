"""The central as a process: a listening socket, the service, and an orderly end.

Constraints
- `ready` is called once requests are answered at the address it is given.
- SIGTERM, SIGINT and (when asked) a closed standard input end it the same way: requests in work are finished, within
  a bound. A second order ends it at once.
- With an embedded database, a server that dies is started again; meanwhile the service says 503.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from cloud_sync.central.database.leases import LeaseTerms
from cloud_sync.central.database.maintenance import Maintenance, maintaining
from cloud_sync.central.database.store import Store
from cloud_sync.central.database.upkeep import Upkeep
from cloud_sync.central.embedded_postgres.server import EmbeddedPostgres
from cloud_sync.central.errors import DatabaseAwayError, EmbeddedPostgresError, SchemaTooNewError, UsageError
from cloud_sync.central.ingress.http import create_app
from cloud_sync.central.ingress.mqtt import consuming
from cloud_sync.central.ingress.rate_limits import RateLimiter, RateLimits
from cloud_sync.central.ingress.slow_clients import protocol_with_timeout
from cloud_sync.host.stop_signals import StopSignals
from cloud_sync.transports.keepalive import set_keepalive
from cloud_sync.transports.mqtt.broker import Broker

logger = logging.getLogger(__name__)

_FINISH_S = 10  # a batch in work commits well within this
_END_S = 25.0  # with that, the last round of upkeep and the connections to the database
_RESTART_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen; port 0 lets the system choose. With a certificate it is HTTPS."""

    host: str = "127.0.0.1"
    port: int = 0
    tls_cert: Path | None = None
    tls_key: Path | None = None
    request_s: float = 120.0
    """How long a connection may be open without a whole request's headers, and a part of an answer wait to be read."""
    tls_s: float = 120.0
    """For the TLS handshake: two round trips of 30 s, or 5 kB at 2 kbit/s, and something lost on the way."""
    keep_alive_s: int = 3_600
    """How long a connection is kept after an answer: a gateway on a metered link pays kilobytes for each new one."""

    @property
    def scheme(self) -> str:
        return "https" if self.tls_cert is not None else "http"


Ready = Callable[[str, str], None]
"""Called with the service's URL and the database's."""


@dataclass(frozen=True, slots=True)
class ServerPolicy:
    """What a gateway may send, and what the central does by itself."""

    rates: RateLimits = field(default_factory=RateLimits)
    upkeep: Upkeep = field(default_factory=Upkeep)
    lease: LeaseTerms = field(default_factory=LeaseTerms)


async def serve_database(
    database_url: str,
    listen: Listen,
    *,
    ready: Ready,
    exit_with_parent: bool,
    broker: Broker | None = None,
    policy: ServerPolicy | None = None,
) -> None:
    """Serve over a database that somebody else runs, until asked to end; with a broker, over MQTT as well."""
    with _stop_requested(exit_with_parent=exit_with_parent) as stop:
        policy = policy or ServerPolicy()
        limiter = RateLimiter(policy.rates)  # one for both transports: what a gateway may send does not double
        async with Store(database_url, upkeep=policy.upkeep, lease=policy.lease) as store:
            # Here and not only when the service starts: its server would show tables it must not touch as a traceback.
            with contextlib.suppress(DatabaseAwayError):
                await store.prepare()
            async with (
                running(create_app(store, limiter=limiter), listen) as url,
                consuming(broker, store, limiter),
                maintaining(Maintenance(store, policy.upkeep, metrics=store.metrics)),
            ):
                ready(url, database_url)
                await stop.wait()


async def serve_embedded(
    data_dir: Path,
    listen: Listen,
    *,
    ready: Ready,
    exit_with_parent: bool,
    broker: Broker | None = None,
    policy: ServerPolicy | None = None,
) -> None:
    """Serve over a PostgreSQL of our own in `data_dir`, until asked to end."""
    async with EmbeddedPostgres(data_dir) as postgres:
        keeping = asyncio.create_task(_keep_running(postgres), name="embedded postgres")  # awaited below
        try:
            await serve_database(
                postgres.url, listen, ready=ready, exit_with_parent=exit_with_parent, broker=broker, policy=policy
            )
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)


@contextlib.asynccontextmanager
async def running(app: FastAPI, listen: Listen) -> AsyncIterator[str]:
    """Run the service while this scope is entered, and hand out its URL; requests in work are finished at the end."""
    with _listening(listen) as sock:
        server = _server(app, listen)
        serving = asyncio.create_task(server.serve(sockets=[sock]), name="central")  # awaited below
        try:
            await server.wait_until_up(serving)
            yield f"{listen.scheme}://{_address(sock)}"
        finally:
            server.should_exit = True
            await asyncio.gather(serving)


async def _keep_running(postgres: EmbeddedPostgres) -> None:
    while True:
        await postgres.wait()
        logger.warning("PostgreSQL ended on its own; starting it again")
        try:
            await postgres.start()
        except EmbeddedPostgresError as exc:
            logger.error("PostgreSQL does not start: %s", exc)
            await asyncio.sleep(_RESTART_PAUSE_S)


class _Server(uvicorn.Server):
    """uvicorn without its signal handling, which would end the process before the database is stopped."""

    def __init__(self, config: uvicorn.Config, *, tls_s: float) -> None:
        super().__init__(config)
        self._tls_s = tls_s
        self._up = asyncio.Event()

    async def wait_until_up(self, serving: asyncio.Task[None]) -> None:
        serving.add_done_callback(lambda _: self._up.set())
        await self._up.wait()
        if serving.done():
            await serving
            raise SchemaTooNewError("the service did not start; the log above says why")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen as the library does, with our patience for TLS, for which it has no setting."""
        await super().startup(sockets=[])
        if self.should_exit:
            return
        config, state = self.config, self.lifespan.state
        made = partial(
            config.http_protocol_class,
            config=config,  # type: ignore[call-arg]  # as the library has it: the class is typed as any protocol
            server_state=self.server_state,
            app_state=state,
        )
        tls_s = None if config.ssl is None else self._tls_s
        loop = asyncio.get_running_loop()
        for sock in sockets or []:
            server = await loop.create_server(
                made, sock=sock, ssl=config.ssl, backlog=config.backlog, ssl_handshake_timeout=tls_s
            )
            self.servers.append(server)
        self._up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _server(app: FastAPI, listen: Listen) -> _Server:
    config = uvicorn.Config(
        app,
        http=protocol_with_timeout(listen.request_s),
        log_config=None,
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=_FINISH_S,
        timeout_keep_alive=listen.keep_alive_s,
        server_header=False,
        ssl_certfile=listen.tls_cert,
        ssl_keyfile=listen.tls_key,
    )
    try:
        config.load()
    except OSError as exc:  # ssl.SSLError is one
        raise UsageError(f"the TLS certificate or key cannot be used: {exc}") from exc
    if config.ssl is not None:
        config.ssl.num_tickets = 1  # 250 bytes each; two are for clients that open several connections at once
    return _Server(config, tls_s=listen.tls_s)


@contextlib.contextmanager
def _listening(listen: Listen) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    try:
        sock = socket.create_server((listen.host, listen.port), family=family, backlog=128)
    except OSError as exc:
        raise _cannot_listen(listen, exc) from exc
    with sock:
        # TCP_NODELAY is among them: asyncio sets it only for sockets that name their protocol, which these do not, and
        # without it every answer on a kept connection waits 40 ms for the other side's delayed acknowledgement.
        set_keepalive(sock)
        yield sock


def _cannot_listen(listen: Listen, exc: OSError) -> UsageError:
    where = f"{listen.host}:{listen.port}"
    if exc.errno == errno.EADDRINUSE:
        return UsageError(
            f"port {listen.port} is in use on {listen.host}", hint="use another --port, or 0 for a free one"
        )
    return UsageError(f"cannot listen on {where}: {exc.strerror or exc}")


def _address(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextlib.contextmanager
def _stop_requested(*, exit_with_parent: bool) -> Iterator[asyncio.Event]:
    """Hand out an event that is set when it is time to end; the signal handlers are removed afterwards.

    A second order, or an end that takes longer than `_END_S`, ends the process as it is: what was answered is kept.
    """
    loop = asyncio.get_running_loop()
    with StopSignals(within_s=_END_S) as signals:
        signals.attach()
        try:
            if exit_with_parent:
                _when_stdin_closes(loop, signals.ask)
            yield signals.asked
        finally:
            if exit_with_parent:
                loop.remove_reader(sys.stdin.fileno())


def _when_stdin_closes(loop: asyncio.AbstractEventLoop, end: Callable[[], object]) -> None:
    stdin = sys.stdin.fileno()

    def read() -> None:
        if not os.read(stdin, 4_096):
            loop.remove_reader(stdin)
            end()

    try:
        loop.add_reader(stdin, read)
    except PermissionError as exc:  # a file or /dev/null cannot be waited for
        raise UsageError("--exit-with-parent needs a pipe or a terminal as standard input") from exc
