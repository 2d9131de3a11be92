"""The broker as the settings describe it, with a password that is read again at each connection."""

from __future__ import annotations

from cloud_sync.transports.mqtt.broker import Broker, Tls, WebSocket
from cloud_sync.transports.mqtt.options import ProtocolOptions
from edge_agent.delivery.link_secrets import as_link_failure
from edge_agent.settings import CentralMqttSettings, Settings
from edge_agent.settings.secrets import central_mqtt_password


def broker_of(settings: Settings, mqtt: CentralMqttSettings) -> Broker:
    """Return where and how the broker is reached. Reads no file yet: certificates and password at each connection."""

    def read_password() -> str | None:
        with as_link_failure():
            return central_mqtt_password(settings)

    files = (mqtt.ca_file, mqtt.certificate_file, mqtt.private_key_file)
    return Broker(
        mqtt.host,
        mqtt.port,
        None if mqtt.allow_plaintext else Tls(*files, mqtt.alpn),
        mqtt.username,
        options=ProtocolOptions(
            mqtt.protocol,
            mqtt.qos,
            mqtt.keep_alive_s,
            mqtt.max_packet_bytes,
            mqtt.topic_prefix,
            mqtt.client_id,
            mqtt.state_messages,
        ),
        websocket=_websocket(mqtt),
        read_password=None if mqtt.username is None else read_password,
    )


def _websocket(mqtt: CentralMqttSettings) -> WebSocket | None:
    if mqtt.transport == "tcp":
        return None
    headers = {name: value.get_secret_value() for name, value in mqtt.websocket_headers.items()}
    return WebSocket(mqtt.websocket_path, headers)
