"""Whom the comparison with the central may ask."""

from __future__ import annotations

from cloud_sync.transports.auto import transport_for
from cloud_sync.transports.failover import FailoverTransport
from cloud_sync.transports.memory import MemoryTransport

URL = "https://127.0.0.1:9"


async def test_only_a_central_that_takes_batches_over_https_is_asked():
    batch, single, auto = (
        transport_for(api, URL, gateway_id="gw-1", api_key="key") for api in ("batch", "single", "auto")
    )
    assert batch.takes_digests
    assert not single.takes_digests
    assert not auto.takes_digests  # it has not said yet what it takes
    assert not MemoryTransport().takes_digests
    assert FailoverTransport(batch, MemoryTransport()).takes_digests
    assert not FailoverTransport(MemoryTransport(), batch).takes_digests
    for transport in (batch, single, auto):
        await transport.close()
