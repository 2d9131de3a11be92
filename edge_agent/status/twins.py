"""What the status document says of this installation and of another box with its gateway id."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from cloud_sync.errors import GatewayIdInUseError
from cloud_sync.presence import ReceivedNotice
from cloud_sync.twins import About, Notice
from cloud_sync.uplink.state import LinkState
from edge_agent.installation.lease import Installation
from edge_agent.status.fields import problem, rfc3339

MOVED_S: Final = 86_400.0
"""So long it is said that the state folder came from another machine."""
RESTORED_S: Final = 900.0
_AN_EARLIER_START: Final = "restored"
_OLDER_AGENT: Final = "unnamed"

_FIND_IT: Final = (
    "if both are to run, give that one another gateway.id and key; if it is to replace this box, switch this one off; "
    "which is which: edge-central gateways"
)
_ON_THIS_MACHINE: Final = (
    "that is this machine itself: if its state folder was removed or replaced, wait; if two agents with this"
    " gateway.id run here, stop one of them; to hand the id over at once: edge-central release"
)
_LIKE_THIS_MACHINE: Final = (
    "it shows this box's machine id: if the state folder here was removed or replaced, wait; if a second agent runs"
    " here or the card was copied, give one of them another gateway.id and key; to hand the id over at once:"
    " edge-central release"
)
_MOVED: Final = (
    "nothing, if this box replaces the other one; if the card or folder was copied and both are to run, give one of "
    "them another gateway.id and key"
)
_RESTORED: Final = (
    "nothing, if a backup was restored: what is sent again counts once, and `edge-agent reconcile` says what is "
    "missing; else look for a copy of this installation: edge-central gateways --history"
)


def describe_presence(own: Installation | None) -> dict[str, Any]:
    """Return the fields of `central`: the other box there is, and the one whose place was taken."""
    if own is None:
        return {"twin": None, "took_over": None}
    return {"twin": _described(own.presence.twin), "took_over": _described(own.presence.took_over)}


def describe_identity(own: Installation | None) -> dict[str, Any]:
    """Return the fields of `gateway`; None before the state folder was opened."""
    if own is None or own.identity is None:
        return {"instance": None, "incarnation": None, "machine": None}
    identity = own.identity
    return {
        "instance": identity.instance,
        "incarnation": identity.incarnation,
        "machine": identity.machine.name or None,
    }


def remedy_of_held(own: Installation | None) -> str | None:
    """Return what to do when the other box is this machine, or shows the same machine id; None of any other."""
    if own is None or own.identity is None or own.presence.twin is None or not own.presence.is_held_back:
        return None
    machine, other = own.identity.machine, own.presence.twin.notice.other
    if not other.machine or machine.name != other.machine:
        return None
    return _ON_THIS_MACHINE if machine.board or machine.cards else _LIKE_THIS_MACHINE


def presence_problems(own: Installation | None, link: LinkState, *, now_ns: int) -> list[dict[str, Any]]:
    """Return what is wrong about this box's identity; what the link says already is not said again."""
    if own is None:
        return []
    out, presence, identity = [], own.presence, own.identity
    twin, took_over = presence.twin, presence.took_over
    if twin is not None and twin.notice.about is About.TWIN:
        out.append(problem(_twin(twin.notice), twin.since_ns, _FIND_IT))
    if twin is not None and presence.is_held_back and link is not LinkState.REFUSED:
        held = GatewayIdInUseError(twin.notice)
        out.append(problem(f"central: {held.message}", twin.since_ns, remedy_of_held(own) or held.hint))
    if (
        took_over is not None
        and took_over.notice.kind == _AN_EARLIER_START
        and _is_fresh(took_over.since_ns, RESTORED_S, now_ns)
    ):
        what = f"the central had a later state of this installation: {took_over.notice.other}"
        out.append(problem(what, took_over.since_ns, _RESTORED))
    if identity is not None and identity.moved_at_ns is not None and _is_fresh(identity.moved_at_ns, MOVED_S, now_ns):
        out.append(problem("this state folder comes from another machine", identity.moved_at_ns, _MOVED))
    return out


def _twin(notice: Notice) -> str:
    if notice.kind == _OLDER_AGENT:
        return f"an older agent sends with this gateway id, and what both measure mixes: {notice.other}"
    return f"another box sends with this gateway id, and the central holds it back: {notice.other}"


def _is_fresh(since_ns: int, for_s: float, now_ns: int) -> bool:
    return now_ns - since_ns < for_s * 1e9


def _described(twin: ReceivedNotice | None) -> dict[str, Any] | None:
    if twin is None:
        return None
    notice = twin.notice
    return {
        "about": notice.about.value,
        "kind": notice.kind,
        "since": rfc3339(twin.since_ns),
        "box": asdict(notice.other),
    }
