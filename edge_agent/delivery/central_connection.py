"""How this gateway connects to its central and its broker, as the settings say.

A secret that cannot be read is a failure of the link: recording goes on, and it is tried again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from cloud_sync.errors import CredentialsError
from cloud_sync.transports.central_time import CentralTime
from cloud_sync.transports.connection import ConnectionOptions, LinkUse
from cloud_sync.transports.known_central import FILE_NAME, KnownCentral
from cloud_sync.transports.link_meter import LinkMeter
from cloud_sync.transports.local_end import LocalEnd
from cloud_sync.transports.mqtt.broker import Broker, Tls, WebSocket
from cloud_sync.transports.mqtt.options import ProtocolOptions
from cloud_sync.transports.proxies.bypass import parse_bypass
from cloud_sync.transports.proxies.choice import DIRECT, ProxyChoice
from cloud_sync.transports.proxies.proxy import check_sign_in, parse_proxy
from edge_agent.delivery.client_certificate import client_certificate
from edge_agent.errors import ConfigurationError
from edge_agent.settings import CentralMqttSettings, CentralSettings, LinkSettings, Settings
from edge_agent.settings.proxy import NEVER
from edge_agent.settings.secrets import central_mqtt_password, central_proxy_password


@contextlib.contextmanager
def as_link_failure() -> Iterator[None]:
    """Raise CredentialsError in place of a ConfigurationError, in the same words."""
    try:
        yield
    except ConfigurationError as exc:
        raise CredentialsError(exc.message, hint=exc.hint) from exc


def connection_of(
    central: CentralSettings,
    meter: LinkMeter | None = None,
    *,
    link: LinkSettings | None = None,
    central_time: CentralTime | None = None,
) -> ConnectionOptions:
    """Return what every connection to the central is made with, over this link, counted by `meter`.

    `central_time` is told what time it has.
    Reads the proxy's password. Raises CredentialsError when there is none to be read.
    """
    with as_link_failure():
        password = central_proxy_password(central)
    return ConnectionOptions(
        ca_file=central.ca_file,
        client_certificate=client_certificate(central),
        connect_timeout_s=central.connect_timeout_s,
        tls_timeout_s=central.tls_timeout_s,
        answer_timeout_s=central.answer_timeout_s,
        proxy=proxy_choice(central, password=password),
        use=_use_of(central, meter, link),
        end=None if link is None else LocalEnd(link.interface, link.source_address),
        central_time=central_time,
    )


def known_central(settings: Settings) -> KnownCentral:
    """Return what counts as this gateway's central, with what the state folder remembers of it."""
    central = settings.central
    return KnownCentral(central.url or "", demand=central.proof, file=settings.gateway.state_dir / FILE_NAME)


def proxy_choice(central: CentralSettings, *, password: str | None = None) -> ProxyChoice:
    """Return through which proxy the central is reached: the setting's, else the environment's."""
    settings = central.proxy
    if settings is None:
        return ProxyChoice()
    if settings.url == NEVER:
        return DIRECT
    proxy = parse_proxy(settings.url, source="central.proxy.url", ca_file=settings.ca_file)
    signed = replace(proxy, username=settings.username, password=password)
    try:
        check_sign_in(signed)
    except ValueError as exc:
        raise CredentialsError(f"central.proxy: {exc}", hint=proxy.sign_in_hint) from exc
    return ProxyChoice(signed, parse_bypass(settings.no_proxy))


def broker_of(settings: Settings, mqtt: CentralMqttSettings) -> Broker:
    """Return where and how the broker is reached. Reads no file yet: certificates and password at each connection."""

    def read_password() -> str | None:
        with as_link_failure():
            return central_mqtt_password(settings)

    files = (mqtt.ca_file, mqtt.certificate_file, mqtt.private_key_file)
    return Broker(
        mqtt.host,
        mqtt.port,
        None if mqtt.allow_plaintext else Tls(*files, mqtt.alpn),
        mqtt.username,
        options=ProtocolOptions(
            mqtt.protocol,
            mqtt.qos,
            mqtt.keep_alive_s,
            mqtt.max_packet_bytes,
            mqtt.topic_prefix,
            mqtt.client_id,
            mqtt.state_messages,
        ),
        websocket=_websocket(mqtt),
        read_password=None if mqtt.username is None else read_password,
    )


def _websocket(mqtt: CentralMqttSettings) -> WebSocket | None:
    if mqtt.transport == "tcp":
        return None
    headers = {name: value.get_secret_value() for name, value in mqtt.websocket_headers.items()}
    return WebSocket(mqtt.websocket_path, headers)


def _use_of(central: CentralSettings, meter: LinkMeter | None, link: LinkSettings | None) -> LinkUse:
    if meter is not None and link is not None:
        meter = meter.of(link.name)
    sparing = central.sparing
    if sparing is None or not central.is_metered(link):
        return LinkUse(meter)
    return LinkUse(meter, sparing.idle_s, sparing.mqtt_keepalive_s, is_sparing=True)
