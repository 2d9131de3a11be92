"""The comparison with the central in the agent: who is asked, what the status document says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from cloud_sync.digest import HourDigest, HourKey
from cloud_sync.errors import SyncError
from cloud_sync.outbox.store import Outbox
from cloud_sync.reconcile.compare import Ask, HourSpan, ask_central
from cloud_sync.reconcile.hourly import FIRST_AFTER_S, HourlyReconciliation, ReconcileState
from cloud_sync.transports.base import Transport
from cloud_sync.uplink.sender import LinkState, Uplink
from edge_agent.core.clock import Clock
from edge_agent.delivery.central_connection import as_link_failure, connection_of, known_central
from edge_agent.settings import Settings
from edge_agent.settings.secrets import central_api_key
from edge_agent.status.metered_link import MeteredLink

_ANSWER_TIMEOUT_S: Final = 60.0
"""At least so long: a day of a big gateway is hashed before the first byte of the answer."""

NOT_OVER_MQTT: Final = "the comparison asks the central over HTTPS, and central.url is not set"
_COMPARE_HOW: Final = "set central.url beside [central.mqtt], or reconcile_every_s = 0"


def asking(settings: Settings, link: MeteredLink | None = None) -> Ask:
    """Return what asks the configured central over HTTPS, each time with a new connection, key and certificates."""

    async def ask(span: HourSpan) -> Mapping[HourKey, HourDigest]:
        if settings.central.url is None:
            raise SyncError(NOT_OVER_MQTT, hint=_COMPARE_HOW)
        with as_link_failure():
            api_key = central_api_key(settings)
        meter, over = (None, None) if link is None else (link.meter, link.in_use())
        connection = connection_of(settings.central, meter, link=over)
        return await ask_central(
            settings.central.url,
            span,
            gateway_id=settings.gateway.id,
            api_key=api_key,
            known=known_central(settings),
            connection=replace(connection, answer_timeout_s=max(connection.answer_timeout_s, _ANSWER_TIMEOUT_S)),
        )

    return ask


def hourly(
    settings: Settings, outbox: Outbox, uplink: Uplink, transport: Transport, clock: Clock, link: MeteredLink
) -> HourlyReconciliation:
    """Return the service of an agent; it asks while its uplink is online over HTTPS."""
    central = settings.central
    is_wanted, has_https = central.reconcile_every_s > 0, central.url is not None
    service = HourlyReconciliation(
        outbox.path,
        asking(settings, link),
        every_s=central.asked_every_s(central.reconcile_every_s) if has_https else 0,
        first_after_s=0.25 * central.sparing.poll_every_s if central.sparing else FIRST_AFTER_S,
        may_ask=lambda: uplink.state.link is LinkState.ONLINE and transport.takes_digests and link.may_ask(),
        now_ns=clock.now_ns,
    )
    if is_wanted and not has_https:
        service.state = ReconcileState(error=f"{NOT_OVER_MQTT}; {_COMPARE_HOW}")
    return service
