"""A failure over one of several links says which one it is about."""

from __future__ import annotations

import pytest

from cloud_sync import wire
from cloud_sync.errors import TransientSyncError
from cloud_sync.transports.memory import MemoryTransport
from cloud_sync.transports.over_link import OverLink
from cloud_sync.uplink.state import LinkState, UplinkState, failed
from tests.contract.check_transport import batch


async def failure_of(transport: OverLink) -> TransientSyncError:
    with pytest.raises(TransientSyncError) as caught:
        await transport.send(wire.encode(batch()), batch_id="b1")
    return caught.value


async def test_a_failure_names_its_link_and_the_state_of_delivery_says_it() -> None:
    inner = MemoryTransport()
    inner.reachable = False
    failure = await failure_of(OverLink("lte", inner))
    state = failed(UplinkState(LinkState.ONLINE, 0), failure, now_ns=1)
    assert state.error == f"over lte: {failure.message}"


async def test_one_that_is_raised_again_names_it_once() -> None:
    class Repeats(MemoryTransport):
        error = TransientSyncError("no answer")

        async def send(self, body: bytes, *, batch_id: str):
            raise self.error

    transport = OverLink("lte", Repeats())
    await failure_of(transport)
    assert (await failure_of(transport)).full_message == "over lte: no answer"


async def test_without_links_nothing_is_added() -> None:
    assert TransientSyncError("no answer").full_message == "no answer"
