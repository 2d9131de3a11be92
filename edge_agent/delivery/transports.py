"""The transports to the central that the settings ask for, in their order.

Links come first and then what is spoken over them: the second protocol over Ethernet before anything over a modem.
Over each link a transport of another package comes first, and url and broker are its fallback.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from cloud_sync.presence import Presence
from cloud_sync.transports.auto import transport_for
from cloud_sync.transports.base import Transport
from cloud_sync.transports.central_time import CentralTime
from cloud_sync.transports.connection import ConnectionOptions
from cloud_sync.transports.failover import FailoverTransport
from cloud_sync.transports.link_meter import LinkMeter
from cloud_sync.transports.over_link import OverLink
from edge_agent.delivery.central_connection import as_link_failure, broker_of, connection_of, known_central
from edge_agent.settings import CentralMqttSettings, LinkSettings, Settings
from edge_agent.settings.secrets import central_api_key


async def transport_with_key(
    settings: Settings, meter: LinkMeter, presence: Presence, central_time: CentralTime
) -> Transport:
    """Read what delivery needs from files. Raises CredentialsError naming the one that cannot be used."""
    with as_link_failure():
        api_key = None if settings.central.url is None else central_api_key(settings)
    return build_transport(settings, api_key=api_key, meter=meter, presence=presence, central_time=central_time)


def build_transport(
    settings: Settings,
    *,
    api_key: str | None,
    meter: LinkMeter | None = None,
    presence: Presence | None = None,
    central_time: CentralTime | None = None,
    now_s: Callable[[], float] = time.monotonic,
) -> Transport:
    """Return the transport to the central; of several the next is the fallback of the one before."""
    known = known_central(settings)

    def connection(link: LinkSettings | None) -> ConnectionOptions:
        return connection_of(settings.central, meter, link=link, central_time=central_time)

    def https(link: LinkSettings | None) -> Transport:
        central = settings.central
        return transport_for(
            "batch" if central.mqtt is not None else central.api,  # whoever listens at a broker takes batches
            central.address,
            gateway_id=settings.gateway.id,
            api_key=api_key or "",
            connection=connection(link),
            in_flight=central.single_in_flight,
            presence=presence,
            known=known,
        )

    def routes(link: LinkSettings | None) -> list[Transport]:
        central = settings.central
        installed = [] if central.transport is None else [_installed(settings, central.transport, connection(link))]
        over_https = [https(link)] if central.url is not None else []
        over_mqtt = [] if central.mqtt is None else [_mqtt(settings, central.mqtt, connection(link), presence, link)]
        built_in = over_mqtt + over_https if central.prefer == "mqtt" else over_https + over_mqtt
        return installed + built_in

    links = settings.central.links
    found = [OverLink(link.name, route) for link in links for route in routes(link)] if links else routes(None)
    return found[0] if len(found) == 1 else FailoverTransport(*found, now_s=now_s)


def _mqtt(
    settings: Settings,
    mqtt: CentralMqttSettings,
    connection: ConnectionOptions,
    presence: Presence | None,
    link: LinkSettings | None,
) -> Transport:
    # Imported here: a gateway without [central.mqtt] never loads paho.
    from cloud_sync.transports.mqtt.transport import MqttTransport

    return MqttTransport(
        broker_of(settings, mqtt if link is None else _of_link(settings, mqtt, link)),
        gateway_id=settings.gateway.id,
        connection=connection,
        presence=presence,
        reconnect_max_s=settings.central.longest_backoff_s,
    )


def _installed(settings: Settings, name: str, connection: ConnectionOptions) -> Transport:
    # Imported here: only a gateway with central.transport looks at what is installed.
    from edge_agent.delivery.installed_transports import TransportContext, installed_transport

    return installed_transport(name, settings.central.options, TransportContext(settings.gateway.id, connection))


def _of_link(settings: Settings, mqtt: CentralMqttSettings, link: LinkSettings) -> CentralMqttSettings:
    """Every link but the first signs in with a client id of its own: a broker has one connection of each."""
    if link is settings.central.links[0]:
        return mqtt
    client_id = mqtt.client_id or f"sm-{settings.gateway.id}"
    return mqtt.model_copy(update={"client_id": f"{client_id}-{link.name}"})
