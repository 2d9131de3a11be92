"""`edge-central loadtest`: virtual gateways against a central, and every row compared."""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cloud_sync.central.cli.database import open_store
from cloud_sync.central.cli.options import DatabaseUrl, Embedded
from cloud_sync.central.cli.output import run_to_the_end
from cloud_sync.central.errors import LoadTestError
from cloud_sync.central.loadtest import LoadPlan, read_keys, run_load, temporary_keys
from cloud_sync.transports.tls import ClientCertificate


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
    load = LoadPlan(url, secrets.token_hex(4), seconds, batch_rows, rate, ca_file, certificate)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line per request is not a result
    run_to_the_end(_loadtest(load, gateways, key_file, database_url, embedded))


def _client_certificate(certificate: Path | None, key: Path | None) -> ClientCertificate | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise typer.BadParameter("--client-certificate and --client-key belong together")
    return ClientCertificate(certificate, key)


async def _loadtest(
    load: LoadPlan, gateways: int, key_file: Path | None, database_url: str | None, embedded: Path | None
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
