"""Two ways to deliver that look right and lose rows: what the judge must notice."""

from __future__ import annotations

import contextlib

from cloud_sync import wire
from cloud_sync.errors import TransientSyncError
from cloud_sync.records import Settlement
from cloud_sync.transports.https import HttpsTransport
from cloud_sync.transports.mqtt.transport import MqttTransport


class SettlesOnSend(HttpsTransport):
    """Takes it for delivered once it was sent, whatever came back."""

    async def send(self, body: bytes, *, batch_id: str) -> Settlement:
        with contextlib.suppress(TransientSyncError):
            await super().send(body, batch_id=batch_id)
        return _all_accepted(body)


class SettlesOnPuback(MqttTransport):
    """Takes the broker's word for the central's."""

    async def send(self, body: bytes, *, batch_id: str) -> Settlement:
        link = await self._connected_link()
        await link.publish(
            self._topics.batch,
            body,
            response_topic=self._topics.answer,
            correlation=batch_id.encode(),
            content_type=wire.content_type(body),
            content_encoding=wire.CONTENT_ENCODING,
        )
        return _all_accepted(body)


def _all_accepted(body: bytes) -> Settlement:
    return Settlement(len(wire.decode(body)), 0)
