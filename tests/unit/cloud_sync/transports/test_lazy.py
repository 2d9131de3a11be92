"""A transport whose files cannot be read yet: a failure of the link, until they can."""

from __future__ import annotations

import pytest

from cloud_sync.errors import CredentialsError, TransientSyncError
from cloud_sync.transports.auto import transport_for
from cloud_sync.transports.base import Guarantee, Route, Transport
from cloud_sync.transports.lazy import LazyTransport
from cloud_sync.transports.memory import MemoryTransport


class Maker:
    def __init__(self, transport: Transport, failures: int) -> None:
        self.transport = transport
        self.failures = failures
        self.asked = 0

    async def __call__(self) -> Transport:
        self.asked += 1
        if self.asked <= self.failures:
            raise CredentialsError("no API key for the central: /etc/key does not exist")
        return self.transport


async def test_it_is_made_again_until_it_can_be_and_then_never():
    made = MemoryTransport()
    maker = Maker(made, failures=2)
    late = LazyTransport(maker)
    assert maker.asked == 0
    assert late.route == Route("not made yet", is_known=False)
    assert late.takes_events is None
    assert late.guarantee is Guarantee.UNKNOWN
    assert not late.takes_digests
    for _ in range(2):
        with pytest.raises(CredentialsError, match="/etc/key"):
            await late.send(b"", batch_id="b1")
    for _ in range(2):
        assert await late._ready() is made
    assert maker.asked == 3
    assert late.route == made.route
    assert late.guarantee is Guarantee.COMMITTED
    await late.close()
    with pytest.raises(TransientSyncError, match="closed"):
        await late.send(b"", batch_id="b1")


async def test_it_says_what_the_one_it_made_says():
    single = transport_for("single", "https://127.0.0.1:9", gateway_id="gw", api_key="k")
    late = LazyTransport(Maker(single, failures=0))
    assert late.takes_events is None
    await late._ready()
    assert late.takes_events is False
    assert late.route == single.route
    assert late.guarantee is Guarantee.ACCEPTED
    await late.close()


async def test_closed_before_it_was_made_it_makes_nothing():
    maker = Maker(MemoryTransport(), failures=0)
    late = LazyTransport(maker)
    await late.close()
    with pytest.raises(TransientSyncError, match="closed"):
        await late.send(b"", batch_id="b1")
    assert maker.asked == 0
