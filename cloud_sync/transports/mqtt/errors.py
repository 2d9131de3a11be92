"""What a broker's reason code, a TLS failure or a lost connection means for the person at the machine.

Knows the numbers of MQTT 5 and OpenSSL, and no library.
"""

from __future__ import annotations

import ssl
from typing import Final

from cloud_sync.errors import BatchTooLargeError, CredentialsError, SyncError, TransientSyncError
from cloud_sync.transports.mqtt.broker import Broker
from cloud_sync.transports.tls import refused_alert

FAILURE: Final = 0x80
"""Reason codes from here on are failures."""

TOO_LONG: Final = "a packet longer than"
"""Ours, of a packet that no answer is as long as; said through paho's log like the next."""

MALFORMED: Final = "malformed packet"
"""paho's words for an answer that MQTT 5 does not allow. It says them in its log and drops the connection."""

_PLAIN_THERE: Final = "does the broker listen for plain MQTT on this port? 8883 is usual for TLS"
_SHARED_NAME: Final = "when this repeats, two boxes may share one gateway.id and put each other out"
"""mosquitto 2.0 ends the older of two connections without saying why."""

_UNKNOWN_CA: Final = ("was signed by an unknown CA", "name the CA in ca_file")

# OpenSSL's X509_V_ERR_* numbers, for the causes that somebody at the machine can mend.
_CERTIFICATE_CAUSES: Final = {
    9: ("is not valid yet", "check this box's clock"),
    10: ("has expired", "renew it on the broker; check this box's clock"),
    18: ("is self-signed", "name it in ca_file if it is the right one"),
    19: _UNKNOWN_CA,
    20: _UNKNOWN_CA,
    21: _UNKNOWN_CA,
    62: ("is for another host name", "use the name in the certificate as host"),
    64: ("is for another address", "use the name or address in the certificate as host"),
}

_SIGN_IN: Final = {0x86, 0x87, 0x8A, 0x8C}  # bad user name or password, not authorized, banned, bad method
_NOT_OUR_FAULT: Final = {0x80, 0x83, 0x88, 0x89, 0x8B, 0x97, 0x9F}  # unspecified, unavailable, busy, quota, rate
_TOO_LARGE: Final = 0x95
_WRONG_VERSION: Final = {0x01, 0x84}
_TAKEN_OVER: Final = 0x8E


def refused_connection(broker: Broker, code: int) -> SyncError:
    """A CONNACK that says no."""
    if code in _SIGN_IN:
        return CredentialsError(
            f"{broker.where} does not let us in: user name or password is wrong, or not permitted (code {code:#04x})",
            hint="check username and password_file, or the client certificate, against the broker's own list",
        )
    if code in _WRONG_VERSION:
        return TransientSyncError(
            f"{broker.where} does not speak MQTT 5 (code {code:#04x})", hint="the broker must support MQTT 5"
        )
    return TransientSyncError(f"{broker.where} refuses the connection for now (code {code:#04x})")


def refused_publish(broker: Broker, code: int, topic: str) -> SyncError:
    """A PUBACK that says no."""
    if code == _TOO_LARGE:
        return BatchTooLargeError(f"{broker.where} takes only smaller messages")
    if code in _NOT_OUR_FAULT:
        return TransientSyncError(f"{broker.where} does not take messages for now (code {code:#04x})")
    return CredentialsError(
        f"{broker.where} does not let us publish on {topic} (code {code:#04x})",
        hint="the broker's ACL must permit it; docs/MQTT.md shows one",
    )


def refused_subscription(broker: Broker, code: int, topic: str) -> SyncError:
    """A SUBACK that says no."""
    if code in _NOT_OUR_FAULT:
        return TransientSyncError(f"{broker.where} takes no subscriptions for now (code {code:#04x})")
    return CredentialsError(
        f"{broker.where} does not let us subscribe to {topic} (code {code:#04x})",
        hint="the broker's ACL must permit it; docs/MQTT.md shows one",
    )


def unreachable(broker: Broker, cause: BaseException | None) -> SyncError:
    """No connection came about; `cause` is what the socket or TLS said."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        said, hint = _CERTIFICATE_CAUSES.get(cause.verify_code, (f"is not trusted: {cause.verify_message}", None))
        return TransientSyncError(f"{broker.where}: the broker's certificate {said}", hint=hint)
    if isinstance(cause, ssl.SSLError):
        if refused_alert(str(cause.reason)):
            return _own_certificate(broker, str(cause.reason))
        return TransientSyncError(f"{broker.where}: no TLS there: {cause.reason or cause}", hint=_PLAIN_THERE)
    if isinstance(cause, ConnectionResetError) and broker.tls is not None:
        return TransientSyncError(f"{broker.where}: the broker hung up at the greeting", hint=_PLAIN_THERE)
    return TransientSyncError(f"{broker.where}: {str(cause) or type(cause).__name__}")


def disconnected(broker: Broker, code: int | None, said: str, *, before_answer: bool) -> SyncError:
    """The connection is gone. `code` is the broker's own when it gave one, `said` what was heard of the cause."""
    if refused_alert(said):
        return _own_certificate(broker, said)
    if MALFORMED in said:
        return TransientSyncError(
            f"{broker.where} answered something that is not MQTT 5",
            hint="mosquitto refuses a message over its message_size_limit so; use max_packet_size, which it tells us",
        )
    if TOO_LONG in said:
        return TransientSyncError(
            f"{broker.where} sends {TOO_LONG} an answer can be",
            hint="is this the central's broker, and does only the central publish on the ack topic?",
        )
    if code == _TAKEN_OVER:
        return TransientSyncError(
            f"{broker.where}: somebody else signed in with our client id",
            hint="two boxes must not share one gateway.id",
        )
    if code in _SIGN_IN:
        return CredentialsError(
            f"{broker.where} put us out (code {code:#04x})", hint="check the user and its rights on the broker"
        )
    if before_answer:
        return TransientSyncError(
            f"{broker.where}: the broker hung up before it let us in",
            hint="does it expect TLS on this port, or a client certificate?",
        )
    why = f" (code {code:#04x})" if code is not None else ""
    return TransientSyncError(f"{broker.where}: the connection was lost{why}", hint=_SHARED_NAME)


def _own_certificate(broker: Broker, said: str) -> CredentialsError:
    return CredentialsError(
        f"{broker.where} does not take our client certificate: {refused_alert(said) or said}",
        hint="certificate_file and private_key_file must be signed by the CA the broker knows, and be valid today",
    )
