"""The central in the status document: the link to it, what it refused, the comparison with it. Pure.

Its fields are a contract (docs/CLI_OUTPUT.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cloud_sync.outbox.tables import Depth
from cloud_sync.reconcile.hourly import ReconcileState
from cloud_sync.transports.base import Transport
from cloud_sync.uplink.state import LinkState, UplinkState
from edge_agent.installation.lease import Installation
from edge_agent.settings import CentralSettings
from edge_agent.status.backlog_growth import describe_pace
from edge_agent.status.fields import problem, rfc3339
from edge_agent.status.proxy import describe_proxy
from edge_agent.status.twins import describe_presence
from edge_agent.status.words import counted

OFFLINE_GRACE_S: Final = 60.0
"""A central that is restarted is not yet a problem for the technician; one that never answered in this run is."""
OUTAGES_WITHIN_S: Final = 600.0
LEAST_OUTAGES: Final = 5
"""A central that is restarted, or one that is moved, is away once or twice."""

_LOOK_AT_IT: Final = "look at the line: cable, signal of the modem, what else uses it"


def describe_central(
    central: CentralSettings,
    uplink: UplinkState,
    transport: Transport,
    *,
    link: Mapping[str, Any],
    own: Installation | None,
    reconcile: ReconcileState | None,
) -> dict[str, Any]:
    """Return the field `central`; `link` holds what the metered link tells of its bytes."""
    route = transport.route
    return {
        "url": central.address,
        "state": uplink.link.value,
        "since": rfc3339(uplink.since_ns),
        "error": uplink.error,
        "hint": uplink.hint,
        "last_settled": rfc3339(uplink.last_settled_ns),
        "proxy": describe_proxy(central),
        "sent_bytes_total": uplink.sent_bytes_total,
        **describe_pace(uplink),
        **link,
        "worth": transport.guarantee.value,
        "way": route.name if route.is_known else None,
        "way_since": rfc3339(route.since_ns),
        "way_instead_of": route.instead_of,
        "takes_events": transport.takes_events,
        "unexpected_answers": route.unexpected_answers,
        **describe_presence(own),
        "reconcile": _reconcile(reconcile or ReconcileState()),
    }


def link_problem(uplink: UplinkState, now_ns: int) -> dict[str, Any] | None:
    """Return what keeps records from the central; None while it is away for a short time, or answers.

    An address or a certificate that never worked in this run is a problem at once.
    """
    if uplink.link in (LinkState.STARTING, LinkState.ONLINE):
        return None
    was_online = uplink.last_settled_ns is not None
    if uplink.link is LinkState.OFFLINE and was_online and now_ns - uplink.since_ns <= OFFLINE_GRACE_S * 1e9:
        return None
    return problem(f"central: {uplink.error}", uplink.since_ns, uplink.hint)


def unsteady_problem(uplink: UplinkState, now_ns: int) -> dict[str, Any] | None:
    """Return what is wrong with a link that was lost again and again within ten minutes, by a clock in nanoseconds."""
    lately = [one for one in uplink.outages if 0 <= now_ns - one.since_ns <= OUTAGES_WITHIN_S * 1e9]
    if len(lately) < LEAST_OUTAGES:
        return None
    first, last = lately[0], lately[-1]
    what = f"the link to the central comes and goes: lost {len(lately)} times in 10 minutes, last by: {last.error}"
    return problem(what, first.since_ns, last.hint or _LOOK_AT_IT)


def dead_letter_problems(depth: Depth | None, *, takes_events: bool | None) -> list[dict[str, Any]]:
    """Return what an operator can do about dead letters; events this central never takes are shown with the central."""
    if depth is None:
        return []
    out = []
    refused = depth.dead_letters - depth.no_place
    if refused:
        what = f"the central refused {counted(refused, 'record')} for good"
        out.append(
            problem(what, None, "read why: edge-agent outbox dead-letters; send again: edge-agent outbox requeue")
        )
    if depth.no_place and takes_events:
        what = f"{counted(depth.no_place, 'event')} had no place at the central and stayed here; now it takes them"
        out.append(problem(what, None, "send them: edge-agent outbox requeue --all"))
    return out


def reconcile_problem(state: ReconcileState | None) -> tuple[str, str] | None:
    """Return what differs at the central, and what to do; None when nothing does."""
    if state is None or not state.differences:
        return None
    if state.lost_hours:
        rows = counted(state.missing_rows, "row")
        what = f"the central misses {rows} it had acknowledged in {counted(state.lost_hours, 'sensor hour')}"
    elif state.changed_hours:
        what = f"the central has other values than it acknowledged in {counted(state.changed_hours, 'sensor hour')}"
    else:
        what = f"the central has rows in {counted(state.differences, 'sensor hour')} that this gateway did not deliver"
    return what, "run edge-agent reconcile"


def _reconcile(state: ReconcileState) -> dict[str, Any]:
    return {
        "checked_at": rfc3339(state.checked_at_ns),
        "hours": state.hours,
        "sensors": state.sensors,
        "differences": state.differences,
        "missing_rows": state.missing_rows,
        "changed_hours": state.changed_hours,
        "error": state.error,
    }
