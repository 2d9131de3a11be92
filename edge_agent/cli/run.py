"""`edge-agent run`: the daemon in the foreground, until SIGTERM or SIGINT.

The first asks for the orderly stop (`shutdown`); the second ends it as soon as what is in memory is durable. SIGHUP
changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

from cloud_sync.errors import CredentialsError, OutboxTooNewError, SyncError
from cloud_sync.host.stop_signals import StopSignals
from cloud_sync.host.stopping import Patience, run_bounded, unless_stopped
from cloud_sync.presence import Presence
from cloud_sync.transports.central_time import CentralTime
from cloud_sync.transports.lazy import LazyTransport
from cloud_sync.transports.link_meter import LinkMeter
from edge_agent.app import Agent
from edge_agent.core.clock import SystemClock
from edge_agent.daemon.shutdown import ENDED_WITHIN_S
from edge_agent.delivery.client_certificate import warn_of_dates
from edge_agent.delivery.transports import transport_with_key
from edge_agent.errors import ConfigurationError, EdgeError
from edge_agent.health.logs import set_up_logging
from edge_agent.health.name_lookups import look_up_apart
from edge_agent.health.supervision import Supervision
from edge_agent.settings import Settings
from edge_agent.settings.load import load_settings
from edge_agent.settings.secrets import check_key_is_configured
from edge_agent.settings.toml_file import find_settings_file
from edge_agent.status.folders import StatusFolders
from edge_agent.status.run_outcome import FOR_THE_OPERATOR, record_failure, record_outcome

log = logging.getLogger("edge_agent")
OWNER_ONLY: Final = 0o077

BETWEEN_STARTS_S: Final = 60.0
"""systemd gives up after ten starts in ten minutes: one a minute goes on until somebody has mended the disk."""

_UNEXPECTED_HINT: Final = "the log says more: journalctl -u edge-agent -n 100; send it to whoever maintains the agent"


def run_daemon(config: Path | None) -> None:
    """Run until asked to stop. Raises ConfigurationError before anything is opened, EdgeError when it cannot go on."""
    os.umask(OWNER_ONLY)  # what is made here is the agent's own; what its group may read says so itself
    # At once: the kernel drops an order to a container's first process while nobody listens for it.
    signals = StopSignals(within_s=ENDED_WITHIN_S).listen()
    settings = load_settings(find_settings_file(config))
    with record_outcome(StatusFolders(settings.gateway.runtime_dir, settings.gateway.state_dir)):
        _run_settings(settings, signals)


def _run_settings(settings: Settings, signals: StopSignals) -> None:
    check_key_is_configured(settings)
    set_up_logging(settings.gateway.log_level, settings.gateway.log_format)
    if settings.central.is_plaintext:
        log.warning("central.url is plain http: anyone on the path can read and forge what is sent")
    if settings.central.mqtt is not None and settings.central.mqtt.allow_plaintext:
        log.warning("central.mqtt is without TLS: anyone on the path can read and forge what is sent")
    warn_of_dates(settings.central)
    try:
        run_bounded(_run(settings, signals))
    except (CredentialsError, OutboxTooNewError) as wrong:
        raise ConfigurationError(wrong.message, hint=wrong.hint) from wrong
    except SyncError as error:  # a disk that is not there yet, a file that is held: worth another start
        raise EdgeError(error.message, hint=error.hint) from error


async def _run(settings: Settings, signals: StopSignals) -> None:
    signals.attach()
    look_up_apart(asyncio.get_running_loop())
    started_s = time.monotonic()
    try:
        await _supervised(partial(_run_agent, settings, signals))
    except (EdgeError, SyncError) as error:
        if not isinstance(error, FOR_THE_OPERATOR):
            record_failure(StatusFolders(settings.gateway.runtime_dir, settings.gateway.state_dir), error)
            await _hold_off(signals.asked, BETWEEN_STARTS_S - (time.monotonic() - started_s))
        raise


async def _supervised(run: Callable[[], Awaitable[None]]) -> None:
    """Raises EdgeError also for what nobody foresaw: what a technician gets is a sentence, not a traceback."""
    supervision = Supervision(SystemClock())
    if not await supervision.attempt("the agent", run, passing=(EdgeError, SyncError)):
        raise EdgeError(f"it failed unexpectedly: {supervision.failures[0].what}", hint=_UNEXPECTED_HINT)


async def _run_agent(settings: Settings, signals: StopSignals) -> None:
    meter, presence, central_time = LinkMeter(), Presence(), CentralTime()
    transport = LazyTransport(partial(transport_with_key, settings, meter, presence, central_time))
    # In a thread: models are proven here, for tens of seconds on a small box, and a stop does not wait for it.
    build = asyncio.to_thread(
        Agent.build,
        settings,
        clock=SystemClock(),
        transport=transport,
        meter=meter,
        presence=presence,
        central_time=central_time,
    )
    built = await unless_stopped(signals.asked, build, within_s=0.0)
    if built is None:
        log.info("stopped while starting; nothing was measured yet")
        return
    (agent,) = built
    await agent.run(signals.asked, Patience(signals.hurried, signals=signals))


async def _hold_off(stop: asyncio.Event, seconds: float) -> None:
    """Under systemd, wait before the end that makes it start us again."""
    if seconds <= 0 or "NOTIFY_SOCKET" not in os.environ:
        return
    log.error("ending in %.0f s, so that systemd goes on starting the agent", seconds)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
