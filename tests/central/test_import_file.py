"""What waits at a gateway, carried to the central in a file, and sent over the network afterwards: counted once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cloud_sync.central.database.import_file import Imported, import_file
from cloud_sync.central.database.store import Store
from cloud_sync.central.errors import UsageError
from cloud_sync.outbox.export_file import PUBLIC_KEY_FILE, gateway_key, write_blocks
from cloud_sync.outbox.store import Outbox
from cloud_sync.outbox.tables import iterate_blocks
from cloud_sync.transports.connection import ConnectionOptions
from cloud_sync.transports.https import HttpsTransport
from cloud_sync.uplink.sender import Uplink
from tests.support.blocks import GATEWAY, block_of, rows
from tests.support.central import API_KEY


def export(outbox: Outbox, folder: Path) -> Path:
    blocks = outbox.read(lambda db: [block.as_new() for block in iterate_blocks(db)])
    write_blocks(folder / "stick", blocks, gateway_id=GATEWAY, key=gateway_key(folder))
    return folder / "stick"


@pytest.fixture
def outbox(tmp_path: Path):
    with Outbox(tmp_path / "outbox.db", max_bytes=10_000_000, gateway_id=GATEWAY) as outbox:
        outbox.append([block_of(rows(50, first=50 * number)) for number in range(4)])
        yield outbox


async def test_imported_records_settle_as_duplicates_later(
    store: Store, service_url: str, outbox: Outbox, tmp_path: Path
):
    file = export(outbox, tmp_path)
    assert outbox.depth().records == 200, "exporting takes nothing away"
    assert await import_file(store, file, [tmp_path / PUBLIC_KEY_FILE]) == Imported(GATEWAY, 4, 200, 0, 0)
    registered = tmp_path / "registered"
    registered.mkdir()
    shutil.copy(tmp_path / PUBLIC_KEY_FILE, registered / f"{GATEWAY}.pub")
    assert await import_file(store, file, [registered]) == Imported(GATEWAY, 4, 0, 200, 0)
    transport = HttpsTransport(
        service_url, gateway_id=GATEWAY, api_key=API_KEY, connection=ConnectionOptions(connect_timeout_s=10)
    )
    try:
        assert await Uplink(outbox, transport).drain()
    finally:
        await transport.close()
    counters = outbox.counters()
    assert (counters["accepted"], counters["duplicates"], outbox.depth().records) == (0, 200, 0)
    assert (await store.health()).rows == 200


async def test_registered_gateway_cannot_sign_for_another(store: Store, outbox: Outbox, tmp_path: Path):
    file = export(outbox, tmp_path)
    registered = tmp_path / "registered"
    registered.mkdir()
    shutil.copy(tmp_path / PUBLIC_KEY_FILE, registered / "some-other-gateway.pub")
    with pytest.raises(UsageError, match=f"no key is registered for gateway '{GATEWAY}'"):
        await import_file(store, file, [registered])
    assert (await store.health()).rows == 0


async def test_file_of_a_stranger_or_a_torn_one_stores_nothing(store: Store, outbox: Outbox, tmp_path: Path):
    file = export(outbox, tmp_path)
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    gateway_key(stranger)
    with pytest.raises(UsageError, match="nobody who is trusted"):
        await import_file(store, file, [stranger])
    content = file.read_bytes()
    for wrong in (content[:-1], content[:2_000] + b"\x00" + content[2_001:], content[:40], b""):
        file.write_bytes(wrong)
        with pytest.raises(UsageError):
            await import_file(store, file, [tmp_path / PUBLIC_KEY_FILE])
    with pytest.raises(UsageError, match="no key"):
        await import_file(store, file, [])
    assert (await store.health()).rows == 0
