"""Boxes that send to a central under one gateway id, each with an identity of its own."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

from cloud_sync import wire
from cloud_sync.errors import GatewayIdInUseError
from cloud_sync.presence import Presence
from cloud_sync.records import Batch, Row, Settlement
from cloud_sync.transports.base import Transport
from cloud_sync.transports.https import HttpsTransport
from cloud_sync.twins import Notice, Sender
from tests.support.blocks import rows
from tests.support.central import API_KEY

GATEWAY = "gw-1"
ORIGINAL = Sender("a" * 16, 5, "1" * 16, machine="c" * 16, site="north hall")
STRANGER = Sender("b" * 16, 1, "2" * 16, machine="d" * 16, site="south hall")
CLONE = replace(ORIGINAL, run="3" * 16)
OLDER = replace(ORIGINAL, run="4" * 16, incarnation=3)
LATER = replace(ORIGINAL, run="5" * 16, incarnation=6)

_numbers = itertools.count(1)


@dataclass
class Box:
    """`send` delivers one new row each time; what was taken is kept in `taken`."""

    transport: Transport
    presence: Presence
    taken: list[Row]

    async def send(self) -> Settlement:
        """Raise what the transport raises."""
        (row,) = rows(1, first=next(_numbers))
        settlement = await self.transport.send(wire.encode(Batch(GATEWAY, (row,))), batch_id=f"b{next(_numbers)}")
        self.taken.append(row)
        return settlement

    async def is_held_back(self) -> Notice | None:
        """Return what the box is told when its batch is not taken; None when it is."""
        try:
            await self.send()
        except GatewayIdInUseError as held:
            return held.notice
        return None


def https_box(url: str, sender: Sender | None) -> Box:
    """Return a box that sends over HTTP; without a sender it is an older agent."""
    presence = Presence()
    if sender is not None:
        presence.begin(sender)
    return Box(HttpsTransport(url, gateway_id=GATEWAY, api_key=API_KEY, presence=presence), presence, [])
