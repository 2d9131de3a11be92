"""Look at an OPC UA server as a person commissions it: what it offers, who it is, what it has. Only reads."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from asyncua import Client

from edge_agent.drivers.opcua.address_space.walk import Walk, walk
from edge_agent.drivers.opcua.client import translated
from edge_agent.drivers.opcua.security.certificates import Certificate, CertificateError, read_certificate
from edge_agent.drivers.opcua.security.identity import rules_of
from edge_agent.drivers.opcua.security.offers import Offer, ask_offers, safest
from edge_agent.drivers.opcua.security.secure import connect_securely
from edge_agent.drivers.opcua.security.trust import TrustIssue, TrustRules, confirmed_by, findings
from edge_agent.drivers.opcua.server_facts import ServerFacts, ask_facts
from edge_agent.drivers.opcua.session import disconnect, new_client
from edge_agent.drivers.opcua.settings import OpcUaSettings
from edge_agent.errors import DeviceRejectedError, DriverError

MOST_SECONDS: Final = 90.0
"""For everything; a server that answers each request just in time would take for ever."""


@dataclass(frozen=True, slots=True)
class Offered:
    """What a server shows to everybody. `certificate` is the one of its best endpoint, None when it has none.

    `verdicts`: what speaks against the certificate. `confirmed`: when and by whom it was confirmed here, or nothing.
    """

    offers: tuple[Offer, ...]
    certificate: Certificate | None = None
    verdicts: tuple[TrustIssue, ...] = ()
    confirmed: str = ""


@dataclass(slots=True)
class ServerLook:
    """What was seen in a session; `error` is why there was none, or why it ended early."""

    facts: ServerFacts = field(default_factory=ServerFacts)
    found: Walk = field(default_factory=Walk)
    error: DriverError | None = None


def probe_settings(endpoint: str, **given: Any) -> OpcUaSettings:
    """Return settings of a source that would read this server. Raise pydantic's ValidationError."""
    node = {"name": "probe.value", "unit": "", "node_id": "i=2258"}
    given = {name: value for name, value in given.items() if value is not None}
    return OpcUaSettings.model_validate(
        {"type": "opcua", "name": "plc", "endpoint": endpoint, "nodes": [node], **given}
    )


async def ask(settings: OpcUaSettings) -> Offered:
    """Ask for the endpoints, and judge the certificate. Raise DriverError in one sentence."""
    client = new_client(settings, _ignore)
    try:
        with _in_words(settings):
            async with asyncio.timeout(MOST_SECONDS):
                offers = await ask_offers(client)
    finally:
        client.disconnect_socket()
    return await asyncio.to_thread(judged, offers, rules_of(settings))


async def look(settings: OpcUaSettings, *, glob: str, depth: int, most: int) -> ServerLook:
    """Sign in as the settings say, and look around. What fails is in the result: the endpoints are known by then."""
    seen = ServerLook()
    client = new_client(settings, _ignore)
    try:
        with _in_words(settings):
            async with asyncio.timeout(MOST_SECONDS):
                await connect_securely(client, settings, datetime.now(UTC))
                await _look_around(client, seen, glob=glob, depth=depth, most=most)
    except DriverError as exc:
        seen.error = exc
    finally:
        await disconnect(client, settings.name)
    return seen


async def _look_around(client: Client, seen: ServerLook, *, glob: str, depth: int, most: int) -> None:
    seen.facts = await ask_facts(client)
    seen.found = await walk(client, seen.facts, glob=glob, depth=depth, most=most)


def judged(offers: tuple[Offer, ...], rules: TrustRules) -> Offered:
    """Return the offers with what is to be thought of their certificate."""
    best = safest(offers) or next((offer for offer in offers if offer.chain), None)
    if best is None:
        return Offered(offers)
    try:
        certificate = read_certificate(best.chain)
    except CertificateError:
        certificate = None
    try:
        verdicts = tuple(findings(best.chain, rules, datetime.now(UTC)))
        confirmed = "" if certificate is None else confirmed_by(certificate, rules)
    except DeviceRejectedError as exc:  # what we compare with cannot be read
        verdicts, confirmed = (TrustIssue(exc.message, exc.hint or "", is_identity=True),), ""
    return Offered(offers, certificate, verdicts, confirmed)


@contextlib.contextmanager
def _in_words(settings: OpcUaSettings) -> Iterator[None]:
    """Let only DriverError out, and without the name of a source that there is not."""
    try:
        with translated(settings.name, settings.endpoint):
            yield
    except DriverError as exc:
        raise type(exc)(exc.message.removeprefix(f"{settings.name}: "), hint=exc.hint) from exc


async def _ignore(cause: Exception) -> None:
    """Whoever waits for an answer hears of a lost connection by that."""
