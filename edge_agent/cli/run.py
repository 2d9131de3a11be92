"""`edge-agent run`: the daemon in the foreground, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path
from typing import TypeVar

from cloud_sync.transports.https import HttpsTransport

from cloud_sync.errors import OutboxError
from edge_agent.app import Agent
from edge_agent.core.clock import SystemClock
from edge_agent.errors import ConfigurationError, EdgeError
from edge_agent.health.logs import set_up_logging
from edge_agent.settings import Settings
from edge_agent.settings_file import central_api_key, find_settings_file, load_settings

log = logging.getLogger("edge_agent")
E = TypeVar("E", bound=BaseException)


def run_daemon(config: Path | None) -> None:
    """Raises ConfigurationError before anything is opened, EdgeError when the daemon cannot go on."""
    settings = load_settings(find_settings_file(config))
    api_key = central_api_key(settings)
    set_up_logging(settings.gateway.log_level, settings.gateway.log_format)
    if settings.central.url.startswith("http://"):
        log.warning("central.url is plain http: anyone on the path can read and forge what is sent")
    try:
        asyncio.run(_run(settings, api_key))
    except* EdgeError as group:
        raise _first(group) from group
    except* OutboxError as group:
        error = _first(group)
        raise ConfigurationError(error.message, hint=error.hint) from group


async def _run(settings: Settings, api_key: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    central = settings.central
    transport = HttpsTransport(
        central.url,
        gateway_id=settings.gateway.id,
        api_key=api_key,
        ca_file=central.ca_file,
        connect_timeout_s=central.connect_timeout_s,
        answer_timeout_s=central.answer_timeout_s,
    )
    agent = Agent.build(settings, clock=SystemClock(), transport=transport)
    await agent.run(stop)


def _first(group: BaseExceptionGroup[E]) -> E:
    error: E | BaseExceptionGroup[E] = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
