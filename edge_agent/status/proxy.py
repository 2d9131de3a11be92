"""What `status` and `validate` say of the proxy before the central: which it is, who named it, and why it cannot be."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from cloud_sync.errors import CredentialsError
from cloud_sync.transports.proxies.proxy import Proxy
from cloud_sync.transports.steps import StepError
from edge_agent.delivery.central_connection import proxy_choice
from edge_agent.settings import CentralMqttSettings, CentralSettings

_NAME_IT: Final = "name the proxy in [central.proxy]"
_PORTS: Final = {"https": 443, "http": 80}


def describe_proxy(central: CentralSettings) -> dict[str, Any] | None:
    """Return the proxy to `central.url`, without one that to the broker; None for direct connections."""
    found = (_proxy(central, *address) for address in _addresses(central))
    return next((proxy for proxy in found if proxy is not None), None)


def unusable_variable(central: CentralSettings) -> tuple[str, str] | None:
    """Return which proxy variable of this environment cannot be used, and what to do; None when none stands in the way.

    Tells nothing of a proxy that the settings name: then no variable counts.
    """
    if central.proxy is not None:
        return None
    for address in _addresses(central):
        try:
            proxy_choice(central).proxy_for(*address)
        except StepError as exc:
            return exc.words, exc.hint or _NAME_IT
    return None


def _addresses(central: CentralSettings) -> list[tuple[str, str, int]]:
    """Scheme, host and port of `central.url`, then those of the broker."""
    found = []
    if central.url is not None:
        parts = urlsplit(central.url)
        found.append((parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme]))
    if central.mqtt is not None:
        found.append((scheme_of(central.mqtt), central.mqtt.host, central.mqtt.port))
    return found


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
