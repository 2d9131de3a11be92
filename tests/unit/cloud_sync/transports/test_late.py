"""A transport whose files cannot be read yet: a failure of the link, until they can."""

from __future__ import annotations

import pytest

from cloud_sync.errors import CredentialsError, TransientSyncError
from cloud_sync.reconcile.hourly import takes_digests
from cloud_sync.transports.auto import COMMITTED, Way, transport_for, way_of, worth_of
from cloud_sync.transports.base import Transport, takes_events
from cloud_sync.transports.late import LateTransport
from cloud_sync.transports.memory import MemoryTransport


class Maker:
    def __init__(self, transport: Transport, failures: int) -> None:
        self.transport = transport
        self.failures = failures
        self.asked = 0

    def __call__(self) -> Transport:
        self.asked += 1
        if self.asked <= self.failures:
            raise CredentialsError("no API key for the central: /etc/key does not exist")
        return self.transport


async def test_it_is_made_again_until_it_can_be_and_then_never():
    made = MemoryTransport()
    maker = Maker(made, failures=2)
    late = LateTransport(maker)
    assert maker.asked == 0
    assert way_of(late) == Way(None, takes_events=None)
    assert "not known" in worth_of(late)
    assert not takes_digests(late)
    for _ in range(2):
        with pytest.raises(CredentialsError, match="/etc/key"):
            await late.send(b"", batch_id="b1")
    for _ in range(2):
        assert late._ready() is made
    assert maker.asked == 3
    assert way_of(late) == way_of(made)
    assert worth_of(late) == COMMITTED
    await late.close()
    with pytest.raises(TransientSyncError, match="closed"):
        await late.send(b"", batch_id="b1")


async def test_what_it_made_is_what_it_is_worth():
    single = transport_for("single", "https://127.0.0.1:9", gateway_id="gw", api_key="k")
    late = LateTransport(lambda: single)
    assert takes_events(late) is None
    late._ready()
    assert takes_events(late) is False
    assert way_of(late) == way_of(single)
    assert worth_of(late) == worth_of(single)
    await late.close()


async def test_closed_before_it_was_made_it_makes_nothing():
    maker = Maker(MemoryTransport(), failures=0)
    late = LateTransport(maker)
    await late.close()
    with pytest.raises(TransientSyncError, match="closed"):
        await late.send(b"", batch_id="b1")
    assert maker.asked == 0
