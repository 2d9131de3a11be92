"""The checks of `edge-agent check` that look at the route to the central: over each link, as the agent would go.

No key is shown and nothing is sent but a question without a body. A broker is asked for a connection only.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from cloud_sync.answer_proof import Identity
from cloud_sync.errors import CredentialsError, SyncError
from edge_agent.cli.host_checks import Check, Result
from edge_agent.settings import CentralMqttSettings, CentralSettings, LinkSettings, Settings

if TYPE_CHECKING:
    from cloud_sync.transports.http_exchange import Answer

CENTRAL: Final = "central"
BROKER: Final = "broker"
TRANSPORT: Final = "transport"

_SOMEBODY_ELSES: Final = frozenset({407, 451, 511})
"""What no central says, of whatever make: a proxy, a filter, a network that wants a log-in."""


def check_central(settings: Settings) -> list[Check]:
    """Return whether the installed transport loads, and central and broker answer, over each of the links."""
    checks = [] if settings.central.transport is None else [_check_installed(settings.central.transport)]
    for link in settings.central.links or (None,):
        if settings.central.url is not None:
            checks.append(_over(link, _check_https(settings.central, settings.central.url, link)))
        if settings.central.mqtt is not None:
            checks.append(_over(link, _check_broker(settings.central, settings.central.mqtt, link)))
    return checks


def _check_installed(name: str) -> Check:
    # Imported here: only a gateway with central.transport looks at what is installed.
    from edge_agent.delivery.installed_transports import load_kind

    try:
        load_kind(name)
    except SyncError as exc:
        return Check(TRANSPORT, Result.BAD, exc.message, exc.hint)
    return Check(TRANSPORT, Result.OK, f"the transport {name!r} is installed; it is tried when batches are sent")


def _over(link: LinkSettings | None, found: Check) -> Check:
    return found if link is None else Check(found.name, found.result, f"over {link.name}: {found.what}", found.do)


def _check_https(central: CentralSettings, url: str, link: LinkSettings | None) -> Check:
    try:
        answer = asyncio.run(_ask(central, url, link))
    except CredentialsError as exc:
        return Check(CENTRAL, Result.BAD, exc.message, exc.hint)
    except SyncError as exc:
        return Check(CENTRAL, Result.WARNING, exc.message, exc.hint)
    return _judged(url, answer)


async def _ask(central: CentralSettings, url: str, link: LinkSettings | None) -> Answer:
    # Imported here: it loads the libraries of the connection.
    from cloud_sync.transports.http_exchange import HttpExchange
    from cloud_sync.transports.tls import ClientTls
    from edge_agent.delivery.central_connection import connection_of

    connection = connection_of(central, link=link)
    tls = ClientTls(connection.ca_file, connection.client_certificate)
    exchange = HttpExchange(headers={}, tls=tls, connection=connection, max_connections=1)
    try:
        return await exchange.ask("GET", url)
    finally:
        await exchange.aclose()


def _judged(url: str, answer: Answer) -> Check:
    """A central of another make says nothing of itself; what only somebody in between says is told as such."""
    from cloud_sync.transports.speaker import REDIRECTS, no_central, speaker_of

    if answer.identity is not Identity.NONE:
        return Check(CENTRAL, Result.OK, f"{url} answers, and is a central (status {answer.status} without a key)")
    if answer.status in REDIRECTS | _SOMEBODY_ELSES or answer.status >= 500:
        found = no_central(answer)
        return Check(CENTRAL, Result.WARNING, found.message, found.hint)
    what = f"{url} answers (status {answer.status} without a key), without saying that it is a central"
    return Check(CENTRAL, Result.OK, f"{what}: {speaker_of(answer)}")


def _check_broker(central: CentralSettings, mqtt: CentralMqttSettings, link: LinkSettings | None) -> Check:
    # Imported here: it loads the libraries of the connection.
    from cloud_sync.transports.blocking_network import open_socket
    from cloud_sync.transports.steps import StepError, why_not_reached
    from edge_agent.delivery.central_connection import connection_of
    from edge_agent.status.proxy import scheme_of

    where = f"{mqtt.host}:{mqtt.port}"
    try:
        open_socket(connection_of(central, link=link), scheme_of(mqtt), mqtt.host, mqtt.port).close()
    except CredentialsError as exc:
        return Check(BROKER, Result.BAD, exc.message, exc.hint)
    except StepError as exc:
        return Check(BROKER, Result.WARNING, f"{where}: {exc.words}", exc.hint)
    except OSError as exc:
        do = "does the broker run? Check central.mqtt.host and port, this box's DNS server and the firewall"
        return Check(BROKER, Result.WARNING, f"{where}: {why_not_reached(exc)}", do)
    return Check(BROKER, Result.OK, f"{where} takes connections")
