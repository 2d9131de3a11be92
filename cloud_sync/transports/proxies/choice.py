"""Through which proxy a host is reached: as configured, else as the environment says.

Constraints
- A setting wins over the environment altogether: then no variable is read, NO_PROXY neither.
- What the environment holds is read at each connection and judged then: a variable that cannot be used is a failure of
  the link, by its name, and never the end of whoever wanted to connect.
- Lower case wins over upper case, and the variable of the scheme over ALL_PROXY, as other programs have it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cloud_sync.host.printable import printable
from cloud_sync.transports.proxies.bypass import Bypass, parse_bypass, split_bypass
from cloud_sync.transports.proxies.proxy import Proxy, parse_proxy
from cloud_sync.transports.steps import StepError

_VARIABLES: Final = {
    "http": ("HTTP_PROXY", "ALL_PROXY"),
    "https": ("HTTPS_PROXY", "ALL_PROXY"),
    "ws": ("HTTP_PROXY", "ALL_PROXY"),
    "wss": ("HTTPS_PROXY", "ALL_PROXY"),
    "mqtt": ("ALL_PROXY",),
    "mqtts": ("ALL_PROXY",),
}
_NO_PROXY: Final = "NO_PROXY"
_REASON_CHARS: Final = 300
_MEND: Final = "mend the variable in the unit's environment and restart the agent, or say it in [central.proxy]"


@dataclass(frozen=True, slots=True)
class ProxyChoice:
    """`proxy` for every host that `bypass` does not cover; without it, what the environment says, if it may be read."""

    proxy: Proxy | None = None
    bypass: Bypass = field(default_factory=Bypass)
    reads_environment: bool = True

    def proxy_for(self, scheme: str, host: str, port: int, environment: Mapping[str, str] = os.environ) -> Proxy | None:
        """Return the proxy for this host, None for a direct connection. Raises StepError for a bad variable."""
        if self.proxy is not None:
            return None if self.bypass.covers(host, port) else self.proxy
        if not self.reads_environment:
            return None
        return _from_environment(scheme, host, port, environment)


DIRECT: Final = ProxyChoice(reads_environment=False)


def _from_environment(scheme: str, host: str, port: int, environment: Mapping[str, str]) -> Proxy | None:
    for name in _VARIABLES[scheme]:
        variable, value = _given(name, environment)
        if not value:
            continue
        if _bypassed(host, port, environment):
            return None
        try:
            return parse_proxy(value, source=variable)
        except ValueError as exc:
            raise _unusable(variable, exc) from exc
    return None


def _bypassed(host: str, port: int, environment: Mapping[str, str]) -> bool:
    variable, value = _given(_NO_PROXY, environment)
    try:
        return parse_bypass(split_bypass(value)).covers(host, port)
    except ValueError as exc:
        raise _unusable(variable, exc) from exc


def _given(name: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """Return the variable's name as it stands in the environment, and its value; empty when there is none."""
    for variable in (name.lower(), name):
        if value := environment.get(variable, "").strip():
            return variable, value
    return name, ""


def _unusable(variable: str, exc: ValueError) -> StepError:
    why = printable(exc, limit=_REASON_CHARS)
    return StepError(f"the environment variable {variable} cannot be used: {why}", hint=_MEND)
