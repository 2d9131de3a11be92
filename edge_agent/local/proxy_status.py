"""What `status` says of the proxy before the central: which it is, and who named it."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from cloud_sync.errors import CredentialsError
from cloud_sync.transports.proxies.proxy import Proxy
from cloud_sync.transports.steps import StepError
from edge_agent.local.central_connection import proxy_choice
from edge_agent.settings import CentralMqttSettings, CentralSettings

_PORTS: Final = {"https": 443, "http": 80}


def describe_proxy(central: CentralSettings) -> dict[str, Any] | None:
    """Return the proxy to `central.url`, without one that to the broker; None for direct connections."""
    to_central = None
    if central.url is not None:
        parts = urlsplit(central.url)
        to_central = _proxy(central, parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme])
    if to_central is not None or central.mqtt is None:
        return to_central
    return _proxy(central, scheme_of(central.mqtt), central.mqtt.host, central.mqtt.port)


def scheme_of(mqtt: CentralMqttSettings) -> str:
    """Return how a proxy variable calls the way to the broker: wss, ws, mqtts or mqtt."""
    names = ("ws", "wss") if mqtt.transport == "websockets" else ("mqtt", "mqtts")
    return names[0] if mqtt.allow_plaintext else names[1]


def _proxy(central: CentralSettings, scheme: str, host: str, port: int) -> dict[str, Any] | None:
    try:
        proxy = proxy_choice(central).proxy_for(scheme, host, port)
    except (StepError, CredentialsError):
        return None  # which the link's own error says
    return None if proxy is None else _described(proxy)


def _described(proxy: Proxy) -> dict[str, Any]:
    return {"url": proxy.where, "from": proxy.source}
