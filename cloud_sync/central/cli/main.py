"""`edge-central`: every command and its options. Errors are one line for the person who typed.

The database's URL may hold a password, so it can come from EDGE_CENTRAL_DATABASE_URL and is shown without it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import sys
import time
from collections.abc import Coroutine
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn
from urllib.parse import urlsplit, urlunsplit

import typer

from cloud_sync.central.cli import corrections as cli_corrections
from cloud_sync.central.cli import gateways as cli_gateways
from cloud_sync.central.cli import keys as cli_keys
from cloud_sync.central.cli.store import one_of_both, open_store
from cloud_sync.central.database.import_file import import_file
from cloud_sync.central.database.leases import LeaseTerms
from cloud_sync.central.database.maintenance import Maintenance
from cloud_sync.central.database.upkeep import Upkeep
from cloud_sync.central.errors import CentralError, LoadTestError, UsageError
from cloud_sync.central.ingress.mqtt_url import broker_of
from cloud_sync.central.ingress.rate_limits import RateLimits
from cloud_sync.central.loadtest import Load, read_keys, run_load, temporary_keys
from cloud_sync.central.logs import log_as_json
from cloud_sync.central.server import Listen, Policy, serve_database, serve_embedded
from cloud_sync.host.private_files import close_to_others
from cloud_sync.host.terminal import guard_standard_streams
from cloud_sync.transports.mqtt.broker import Broker
from cloud_sync.transports.tls import ClientCertificate
from cloud_sync.twins import MAX_LEASE_S

_SWITCH_S: Final = 0.0005
"""How long a thread that decodes may keep the interpreter. With Python's 5 ms, each of the many short steps of another
gateway's request waits that long: 1.8 s for one small batch beside a flood of large ones, instead of 0.4."""

app = typer.Typer(
    name="edge-central",
    help="The reference central: batches in over HTTP and MQTT, rows out to PostgreSQL or TimescaleDB.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

DatabaseUrl = Annotated[
    str | None,
    typer.Option(envvar="EDGE_CENTRAL_DATABASE_URL", help="postgresql://user@host:5432/name", show_envvar=True),
]
Embedded = Annotated[Path | None, typer.Option(metavar="DIR", help="Run a PostgreSQL of our own in this folder.")]
RetentionDays = Annotated[
    int | None,
    typer.Option(
        min=0, max=36_500, help="Delete readings older than this; 0: never. Default 180, but never in adopted tables."
    ),
]
DEFAULT_RATES = RateLimits()
DEFAULT_LEASE = LeaseTerms()


@app.command()
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
        _fail(UsageError("--tls-cert and --tls-key belong together"))
    listen = Listen(host, port, tls_cert, tls_key)
    broker = _broker(mqtt_url, mqtt_password_file, mqtt_ca, mqtt_cert, mqtt_key)
    policy = Policy(_rates(rows_per_s, requests_per_s), Upkeep(retention_days), LeaseTerms(lease_seconds))
    serving: dict[str, Any] = {
        "ready": _print_ready, "exit_with_parent": exit_with_parent, "broker": broker, "policy": policy,
    }  # fmt: skip
    log_as_json()
    sys.setswitchinterval(_SWITCH_S)
    if embedded is not None and database_url is None:
        _run(serve_embedded(embedded, listen, **serving))
    elif database_url is not None and embedded is None:
        _run(serve_database(database_url, listen, **serving))
    else:
        _fail(one_of_both())


@app.command()
def maintain(
    database_url: DatabaseUrl = None,
    embedded: Embedded = None,
    retention_days: RetentionDays = None,
    hours_since: Annotated[
        datetime | None, typer.Option(help="Compute every hour since then (UTC) again.", formats=["%Y-%m-%d"])
    ] = None,
) -> None:
    """Run retention and the hourly roll-up once, now; one JSON line each. `serve` does this on a schedule."""
    _run(_maintain(database_url, embedded, Upkeep(retention_days), hours_since))


@app.command()
def loadtest(
    url: Annotated[str, typer.Option(help="The central under test.")],
    gateways: Annotated[int, typer.Option(min=1, max=999, help="How many virtual gateways.")] = 10,
    seconds: Annotated[float, typer.Option(min=0.1, help="For how long they send.")] = 30.0,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Rows a second and gateway; default: as fast as they are settled.")
    ] = None,
    batch_rows: Annotated[int, typer.Option(min=1, max=100_000, help="Rows in one batch.")] = 1_000,
    key_file: Annotated[Path | None, typer.Option(help='JSON {"gateway_id": "key", ...} of existing keys.')] = None,
    ca_file: Annotated[Path | None, typer.Option(help="The CA that signed the central's certificate.")] = None,
    client_certificate: Annotated[Path | None, typer.Option(help="Shown to a central that asks for one (PEM).")] = None,
    client_key: Annotated[Path | None, typer.Option(help="Its private key (PEM, no password).")] = None,
    database_url: DatabaseUrl = None,
    embedded: Embedded = None,
) -> None:
    """Send as many gateways would, then compare every key. One JSON line; exit code 1 when rows are lost or doubled.

    Keys come from --key-file, or are made in the database (and revoked again). The rows stay.
    """
    certificate = _client_certificate(client_certificate, client_key)
    load = Load(url, secrets.token_hex(4), seconds, batch_rows, rate, ca_file, certificate)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line per request is not a result
    _run(_loadtest(load, gateways, key_file, database_url, embedded))


@app.command("add-key")
def add_key(
    gateway_id: Annotated[str, typer.Argument(help="The gateway that will send with this key.")],
    database_url: DatabaseUrl = None,
    embedded: Embedded = None,
    key_file: Annotated[
        Path | None, typer.Option(help="Write the key here (mode 0600); an existing file's key is registered.")
    ] = None,
) -> None:
    """Give a gateway a key. Without --key-file it is printed, once."""
    _run(cli_keys.add_key(gateway_id, key_file, database_url, embedded))


@app.command()
def keys(database_url: DatabaseUrl = None, embedded: Embedded = None) -> None:
    """List keys by the start of their digest; one JSON line each."""
    _run(cli_keys.list_keys(database_url, embedded))


@app.command("revoke-key")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="As `keys` shows it; at least 8 characters.")],
    database_url: DatabaseUrl = None,
    embedded: Embedded = None,
) -> None:
    """Refuse this key from now on."""
    _run(cli_keys.revoke_key(key_id, database_url, embedded))


@app.command()
def gateways(
    gateway_id: Annotated[str | None, typer.Argument(help="Only this one.")] = None,
    history: Annotated[
        bool, typer.Option("--history", help="What happened: held back, twins, took over, released; the newest first.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Of the history, the newest so many.")] = 100,
    database_url: DatabaseUrl = None,
    embedded: Embedded = None,
) -> None:
    """List which box sends under each gateway id, and which others want to; one JSON line each."""
    _run(cli_gateways.list_gateways(gateway_id, limit if history else None, database_url, embedded))


@app.command()
def release(
    gateway_id: Annotated[str, typer.Argument(help="The id that two boxes want.")],
    database_url: DatabaseUrl = None,
    embedded: Embedded = None,
) -> None:
    """Take a gateway id from the box that has it: the one that is held back gets it, else whoever sends next."""
    _run(cli_gateways.release(gateway_id, database_url, embedded))


@app.command("import")
def import_command(
    file: Annotated[Path, typer.Argument(help="Made by `edge-agent outbox export`.")],
    key: Annotated[list[Path] | None, typer.Option(help="The gateway's export.pub, or a folder of GATEWAY.pub")] = None,
    retention_days: RetentionDays = None,
    database_url: DatabaseUrl = None,
    embedded: Embedded = None,
) -> None:
    """Store a gateway's export that was carried here by hand. Prints one JSON line."""
    _run(_import(file, key or [], Upkeep(retention_days), database_url, embedded))


@app.command()
def conflicts(
    gateway_id: Annotated[str | None, typer.Argument(help="Only those of this gateway.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="The newest so many.")] = 100,
    database_url: DatabaseUrl = None,
    embedded: Embedded = None,
) -> None:
    """List readings that were offered with another value than is stored; one JSON line each."""
    _run(cli_corrections.list_conflicts(gateway_id, limit, database_url, embedded))


@app.command()
def correct(
    sensor_id: Annotated[str | None, typer.Argument(help="The sensor, as it is stored.")] = None,
    time_: Annotated[str | None, typer.Argument(metavar="TIME", help="As 2026-01-31T12:00:00.5Z.")] = None,
    value: Annotated[str | None, typer.Argument(help="What the reading is to be.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Many at once: columns sensor_id, time, value.")] = None,
    reason: Annotated[str, typer.Option(help="Why; kept with the old value.")] = "",
    by: Annotated[str | None, typer.Option(help="Who; default: the user at this machine.")] = None,
    database_url: DatabaseUrl = None,
    embedded: Embedded = None,
) -> None:
    """Change stored readings on purpose, all or none; what they were stays on record. One JSON line each."""
    _run(cli_corrections.correct((sensor_id, time_, value), csv, reason, by, database_url, embedded))


@app.command()
def corrections(
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="The newest so many.")] = 100,
    database_url: DatabaseUrl = None,
    embedded: Embedded = None,
) -> None:
    """List what was corrected: old and new value, who, when, why; one JSON line each."""
    _run(cli_corrections.list_corrections(limit, database_url, embedded))


def run() -> None:
    """Run `edge-central`."""
    guard_standard_streams()
    close_to_others()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    app()


async def _maintain(
    database_url: str | None, embedded: Path | None, upkeep: Upkeep, hours_since: datetime | None
) -> None:
    async with open_store(database_url, embedded) as store:
        maintenance = Maintenance(store, upkeep)
        if hours_since is not None:
            await maintenance.mark_hours(hours_since.replace(tzinfo=UTC))
        for ran in await maintenance.run_once():
            print(json.dumps(asdict(ran)))


def _client_certificate(certificate: Path | None, key: Path | None) -> ClientCertificate | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise typer.BadParameter("--client-certificate and --client-key belong together")
    return ClientCertificate(certificate, key)


async def _loadtest(
    load: Load, gateways: int, key_file: Path | None, database_url: str | None, embedded: Path | None
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        if key_file is not None:
            keys = read_keys(key_file, gateways)
        else:
            store = await stack.enter_async_context(open_store(database_url, embedded))
            keys = await stack.enter_async_context(temporary_keys(store, gateways, run_id=load.run_id))
        report = await run_load(load, keys, start_us=time.time_ns() // 1_000)
    print(json.dumps(asdict(report)))
    if not report.is_clean:
        raise LoadTestError(f"{report.lost} rows lost, {report.doubled} doubled in {report.differing_hours} hours")


async def _import(
    file: Path, keys: list[Path], upkeep: Upkeep, database_url: str | None, embedded: Path | None
) -> None:
    async with open_store(database_url, embedded, upkeep) as store:
        print(json.dumps(asdict(await import_file(store, file, keys))))


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
            _fail(UsageError("the --mqtt options need --mqtt-url"))
        return None
    try:
        return broker_of(url, password_file=password, ca_file=ca, certificate_file=certificate, private_key_file=key)
    except UsageError as exc:
        _fail(exc)


def _run(work: Coroutine[Any, Any, None]) -> None:
    try:
        asyncio.run(work)
    except CentralError as exc:
        _fail(exc)
    except OSError as exc:
        _fail(UsageError(str(exc)))


def _fail(error: CentralError) -> NoReturn:
    hint = f" ({error.hint})" if error.hint else ""
    print(f"edge-central: {error.message}{hint}", file=sys.stderr)
    raise typer.Exit(2 if isinstance(error, UsageError) else 1)


if __name__ == "__main__":
    run()
