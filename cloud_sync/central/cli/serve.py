"""`edge-central serve`: the options of the service, checked and put together."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit, urlunsplit

import typer

from cloud_sync.central.cli.database import one_of_both
from cloud_sync.central.cli.options import DatabaseUrl, Embedded, RetentionDays
from cloud_sync.central.cli.output import fail, run_to_the_end
from cloud_sync.central.database.leases import LeaseTerms
from cloud_sync.central.database.upkeep import Upkeep
from cloud_sync.central.errors import UsageError
from cloud_sync.central.ingress.mqtt_url import broker_of
from cloud_sync.central.ingress.rate_limits import RateLimits
from cloud_sync.central.logs import log_as_json
from cloud_sync.central.server import Listen, ServerPolicy, serve_database, serve_embedded
from cloud_sync.transports.mqtt.broker import Broker
from cloud_sync.twins import MAX_LEASE_S

_SWITCH_S: Final = 0.0005
"""How long a thread that decodes may keep the interpreter. With Python's 5 ms, each of the many short steps of another
gateway's request waits that long: 1.8 s for one small batch beside a flood of large ones, instead of 0.4."""

DEFAULT_RATES = RateLimits()
DEFAULT_LEASE = LeaseTerms()


def serve(
    database_url: DatabaseUrl = None,
    embedded: Embedded = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0: a free one; the ready line has it.")] = 0,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain (PEM); makes it HTTPS.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="The certificate's private key (PEM).")] = None,
    exit_with_parent: Annotated[bool, typer.Option("--exit-with-parent", help="End when stdin closes.")] = False,
    mqtt_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="mqtts://user@host:8883: also take batches from this broker; docs/MQTT.md has options.",
        ),
    ] = None,
    mqtt_password_file: Annotated[Path | None, typer.Option(help="Holds only that user's password.")] = None,
    mqtt_ca: Annotated[Path | None, typer.Option(help="The CA that signed the broker's certificate (PEM).")] = None,
    mqtt_cert: Annotated[Path | None, typer.Option(help="Our certificate, if the broker asks for one (PEM).")] = None,
    mqtt_key: Annotated[Path | None, typer.Option(help="Its private key (PEM).")] = None,
    retention_days: RetentionDays = None,
    rows_per_s: Annotated[
        float, typer.Option(min=0, help="What one gateway may send on average; 0 does not limit.")
    ] = DEFAULT_RATES.rows_per_s or 0,
    requests_per_s: Annotated[
        float, typer.Option(min=0, help="What one gateway may ask on average; 0 does not limit.")
    ] = DEFAULT_RATES.requests_per_s or 0,
    lease_seconds: Annotated[
        float, typer.Option(min=1, max=MAX_LEASE_S, help="Silence after which another box may have a gateway id.")
    ] = DEFAULT_LEASE.seconds,
) -> None:
    """Take batches until SIGTERM or SIGINT. Prints one JSON line with `url` and `database` when ready."""
    if (tls_cert is None) != (tls_key is None):
        fail(UsageError("--tls-cert and --tls-key belong together"))
    listen = Listen(host, port, tls_cert, tls_key)
    broker = _broker(mqtt_url, mqtt_password_file, mqtt_ca, mqtt_cert, mqtt_key)
    policy = ServerPolicy(_rates(rows_per_s, requests_per_s), Upkeep(retention_days), LeaseTerms(lease_seconds))
    serving: dict[str, Any] = {
        "ready": _print_ready, "exit_with_parent": exit_with_parent, "broker": broker, "policy": policy,
    }  # fmt: skip
    log_as_json()
    sys.setswitchinterval(_SWITCH_S)
    if embedded is not None and database_url is None:
        run_to_the_end(serve_embedded(embedded, listen, **serving))
    elif database_url is not None and embedded is None:
        run_to_the_end(serve_database(database_url, listen, **serving))
    else:
        fail(one_of_both())


def _rates(rows_per_s: float, requests_per_s: float) -> RateLimits:
    return replace(DEFAULT_RATES, rows_per_s=rows_per_s or None, requests_per_s=requests_per_s or None)


def _print_ready(url: str, database_url: str) -> None:
    print(json.dumps({"url": url, "database": _without_password(database_url)}), flush=True)


def _without_password(database_url: str) -> str:
    parts = urlsplit(database_url)
    user, at, host = parts.netloc.rpartition("@")
    shown = parts._replace(netloc=f"{user.partition(':')[0]}{at}{host}")
    return urlunsplit(shown)


def _broker(
    url: str | None, password: Path | None, ca: Path | None, certificate: Path | None, key: Path | None
) -> Broker | None:
    if url is None:
        if any((password, ca, certificate, key)):
            fail(UsageError("the --mqtt options need --mqtt-url"))
        return None
    try:
        return broker_of(url, password_file=password, ca_file=ca, certificate_file=certificate, private_key_file=key)
    except UsageError as exc:
        fail(exc)
