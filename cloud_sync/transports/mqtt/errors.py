"""What a broker's reason code, a TLS failure or a lost connection means for the person at the machine.

Knows the numbers of MQTT 5, HTTP and OpenSSL, and no library. paho puts the codes of MQTT 3.1.1 into those of MQTT 5.
"""

from __future__ import annotations

import ssl
from typing import Final

from cloud_sync.errors import BatchTooLargeError, CredentialsError, SyncError, TransientSyncError
from cloud_sync.transports.mqtt.broker import Broker
from cloud_sync.transports.mqtt.websocket import CLOSED, UpgradeRefusedError
from cloud_sync.transports.steps import ONLY_SAN, StepError, why_not_reached
from cloud_sync.transports.tls import refused_alert

FAILURE: Final = 0x80
"""Reason codes from here on are failures."""

TOO_LONG: Final = "a packet longer than"
"""Ours, of a packet that no answer is as long as; said through paho's log like the next."""

MALFORMED: Final = "malformed packet"
"""paho's words for an answer that the protocol does not allow. It says them in its log and drops the connection."""

SILENCE: Final = "no answer to a ping"
"""Ours, of a broker that was not heard for the keep-alive."""

TOO_LARGE: Final = 0x95
TOO_MANY_IN_FLIGHT: Final = 0x93
ALIAS_REFUSED: Final = 0x94
RETAIN_REFUSED: Final = 0x9A
QOS_REFUSED: Final = 0x9B
TAKEN_OVER: Final = 0x8E

_PLAIN_THERE: Final = "does the broker listen for plain MQTT on this port? 8883 is usual for TLS"
_REACH_IT: Final = "does the broker run? Check its host and port here, this box's DNS server, route and firewall"
_ITS_LOG: Final = "it is asked again by itself; why it refuses stands in the broker's own log"
_SHARED_NAME: Final = "when this repeats, two boxes may share one gateway.id or client_id and put each other out"
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
    62: ("is for another host name", f"use as host a name that stands in the certificate; {ONLY_SAN}"),
    64: ("is for another address", f"use as host a name or address of the certificate; {ONLY_SAN}"),
}

_BAD_CLIENT_ID: Final = 0x85
_SIGN_IN: Final = {0x86, 0x87, 0x8A, 0x8C}  # bad user name or password, not authorized, banned, bad method
_NOT_OUR_FAULT: Final = {0x80, 0x83, 0x88, 0x89, 0x8B, 0x97, 0x9F}  # unspecified, unavailable, busy, quota, rate
_WRONG_VERSION: Final = {0x01, 0x84}
_NOT_SHARED: Final = 0x9E
_NO_WILDCARDS: Final = 0xA2
_ACL: Final = "the broker's ACL must permit it; docs/MQTT.md shows one"

_LIES: Final = {
    TOO_MANY_IN_FLIGHT: "more messages at a time than it takes, and than it announced; from now on it gets fewer",
    ALIAS_REFUSED: "a topic alias that it had announced to take; from now on it gets whole topics",
    RETAIN_REFUSED: "retained messages; from now on the state topic is not retained (central.mqtt.state_messages)",
    QOS_REFUSED: "QoS 2; from now on it gets QoS 1 (central.mqtt.qos)",
}
"""What a broker refuses though it never said that it does not take it."""


def refused_connection(broker: Broker, code: int) -> SyncError:
    """Return the error of a CONNACK that says no."""
    if code in _SIGN_IN:
        return CredentialsError(
            f"{broker.where} does not let us in: user name or password is wrong, or not permitted (code {code:#04x})",
            hint="check username and password_file, or the client certificate, against the broker's own list",
        )
    if code in _WRONG_VERSION:
        other = "3.1.1" if broker.options.has_properties else "5"
        return TransientSyncError(
            f"{broker.where} does not speak {broker.options.name} (code {code:#04x})",
            hint=f'try protocol = "{other}" (the central: protocol={other} in --mqtt-url)',
        )
    if code == _BAD_CLIENT_ID:
        return CredentialsError(
            f"{broker.where} does not take our client id (code {code:#04x})",
            hint="set client_id as this broker's rules ask for it: its length, characters, or the user's own name",
        )
    if code in _LIES:
        return _not_taken(broker, code)
    return TransientSyncError(f"{broker.where} refuses the connection for now (code {code:#04x})", hint=_ITS_LOG)


def silent_at_sign_in(broker: Broker) -> SyncError:
    """Return the error of a broker that took the connection and said nothing more."""
    return TransientSyncError(
        f"{broker.where}: the broker fell silent while we signed in",
        hint="is it overloaded? On a slow link raise central.connect_timeout_s",
    )


def nonsense(broker: Broker, words: str, remedy: str) -> SyncError:
    """Return the error of a CONNACK with limits under which nothing can be delivered."""
    return TransientSyncError(f"{broker.where} {words}", hint=f"mend it in the broker's configuration: {remedy}")


def refused_size(broker: Broker, size: int, *, may_be_cut: bool) -> SyncError:
    """Return the error of a packet of this size that was too large for the broker."""
    words = f"{broker.where} takes only smaller messages than one of {size} bytes"
    if may_be_cut:
        return BatchTooLargeError(words, hint="set max_packet_bytes to what the broker takes, so that none is refused")
    return TransientSyncError(words, hint="no batch fits: raise the limit on the broker; nothing is given up here")


def cut_off_size(broker: Broker, size: int) -> BatchTooLargeError:
    """Return the error of a message of this size during which the connection ended twice, without a word."""
    return BatchTooLargeError(
        f"{broker.where} hung up twice on a message of {size} bytes without saying why; smaller ones are tried",
        hint="if the broker has a limit, set max_packet_bytes to it",
    )


def refused_publish(broker: Broker, code: int, topic: str) -> SyncError:
    """Return the error of a PUBACK or PUBREC that says no."""
    if code in _NOT_OUR_FAULT:
        return TransientSyncError(f"{broker.where} does not take messages for now (code {code:#04x})", hint=_ITS_LOG)
    return CredentialsError(f"{broker.where} does not let us publish on {topic} (code {code:#04x})", hint=_ACL)


def refused_subscription(broker: Broker, code: int, topic: str) -> SyncError:
    """Return the error of a SUBACK that says no. MQTT 3.1.1 knows one code for it, and the usual reason is the ACL."""
    if code == _NOT_SHARED:
        return CredentialsError(
            f"{broker.where} has no shared subscriptions (code {code:#04x})",
            hint="write share=none in --mqtt-url, and run one central only",
        )
    if code == _NO_WILDCARDS:
        return CredentialsError(f"{broker.where} has no wildcard subscriptions (code {code:#04x}): {topic}", hint=_ACL)
    if code in _NOT_OUR_FAULT and broker.options.has_properties:
        return TransientSyncError(f"{broker.where} takes no subscriptions for now (code {code:#04x})", hint=_ITS_LOG)
    return CredentialsError(f"{broker.where} does not let us subscribe to {topic} (code {code:#04x})", hint=_ACL)


def taken_over(broker: Broker, client_id: str, *, times: int, stays_away_s: float, is_certain: bool) -> SyncError:
    """Return the error of another client with our name: the broker said so, or each connection ends soon."""
    who = f"the client id {client_id!r}"
    what = (
        f"another client has signed in with {who}"
        if is_certain
        else f"the connection is lost soon after each sign-in with {who}"
    )
    return TransientSyncError(
        f"{broker.where}: {what} ({times} times in a row); the next try is in {stays_away_s:.0f} s",
        hint="do two boxes share one gateway.id or client_id? Change it on one of them; the other one is told the same",
    )


def unreachable(broker: Broker, cause: BaseException | None) -> SyncError:
    """Return the error of no connection; `cause` is what the socket or TLS said."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        said, hint = _CERTIFICATE_CAUSES.get(cause.verify_code, (f"is not trusted: {cause.verify_message}", None))
        return TransientSyncError(f"{broker.where}: the broker's certificate {said}", hint=hint)
    if isinstance(cause, ssl.SSLError):
        if refused_alert(str(cause.reason)):
            return _own_certificate(broker, str(cause.reason))
        return TransientSyncError(f"{broker.where}: no TLS there: {cause.reason or cause}", hint=_PLAIN_THERE)
    if cause is not None and isinstance(step := cause.__cause__, StepError):
        return TransientSyncError(f"{broker.where}: {step.words}", hint=step.hint)
    if isinstance(cause, UpgradeRefusedError):
        return _not_upgraded(broker, cause)
    if isinstance(cause, ConnectionResetError) and broker.tls is not None:
        return TransientSyncError(f"{broker.where}: the broker hung up at the greeting", hint=_PLAIN_THERE)
    why = "no connection" if cause is None else why_not_reached(cause)
    return TransientSyncError(f"{broker.where}: {why}", hint=_REACH_IT)


def disconnected(broker: Broker, code: int | None, said: str, *, before_answer: bool) -> SyncError:
    """Return the error of a lost connection. `code` is the broker's, if any; `said` what was heard of the cause."""
    if refused_alert(said):
        return _own_certificate(broker, said)
    if MALFORMED in said:
        what = said.partition(f"{MALFORMED}: ")[2]
        return TransientSyncError(
            f"{broker.where} answered something that is not {broker.options.name}{f': {what}' if what else ''}",
            hint="the broker, or something between us and it, breaks the protocol; its own log may say more",
        )
    if TOO_LONG in said:
        return TransientSyncError(
            f"{broker.where} sends {TOO_LONG} an answer can be",
            hint="is this the central's broker, and does only the central publish on the ack topic?",
        )
    if said == SILENCE:
        return TransientSyncError(
            f"{broker.where}: the connection was lost: the broker did not answer in time",
            hint="is the line up? A NAT or firewall that forgets connections early wants a shorter keep_alive_s",
        )
    if CLOSED in said:
        return TransientSyncError(f"{broker.where}: {said.partition(': ')[2] or said}", hint=_SHARED_NAME)
    if code in _LIES:
        return _not_taken(broker, code)
    if code in _SIGN_IN and broker.read_password is not None:
        return TransientSyncError(
            f"{broker.where} put us out (code {code:#04x}); the next connection reads the password again",
            hint="a token that has run out must be renewed in password_file before that",
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
    return TransientSyncError(f"{broker.where}: the connection was lost{why}", hint=_SHARED_NAME, was_in_flight=True)


def _not_taken(broker: Broker, code: int) -> SyncError:
    return TransientSyncError(f"{broker.where} refuses {_LIES[code]} (code {code:#04x})")


def _not_upgraded(broker: Broker, cause: UpgradeRefusedError) -> SyncError:
    words = f"{broker.where}: no WebSocket there: {cause}"
    if cause.status in (401, 403):
        return CredentialsError(words, hint="what stands before the broker wants other websocket_headers, or none")
    return TransientSyncError(words, hint="check port and websocket_path; a proxy between must pass WebSockets on")


def _own_certificate(broker: Broker, said: str) -> CredentialsError:
    return CredentialsError(
        f"{broker.where} does not take our client certificate: {refused_alert(said) or said}",
        hint="certificate_file and private_key_file must be signed by the CA the broker knows, and be valid today",
    )
