"""Parts that are made of settings alone."""

from __future__ import annotations

from cloud_sync.journal import KeyJournal
from cloud_sync.outbox import Outbox
from cloud_sync.outbox_room import floor_of
from cloud_sync.retention import US_PER_DAY
from cloud_sync.uplink.sender import LinkState, Policy, Uplink
from edge_agent.core.clock import Clock
from edge_agent.health.clock_keeper import ClockKeeper, this_boot
from edge_agent.health.clock_quality import ClockQuality
from edge_agent.health.steady_clock import SteadyClock
from edge_agent.settings import CentralSettings, Settings


def outbox_of(settings: Settings, clock: Clock, is_clock_synced: ClockQuality) -> Outbox:
    """Return the outbox as configured, not open yet."""
    days = settings.outbox.max_age_days
    return Outbox(
        settings.gateway.state_dir / "outbox.db",
        max_bytes=settings.outbox.max_bytes,
        min_free_bytes=floor_of(settings.gateway.state_dir, settings.outbox.min_free_bytes),
        max_age_us=None if days == "none" else int(days * US_PER_DAY),
        gateway_id=settings.gateway.id,
        now_ns=clock.now_ns,
        may_expire=is_clock_synced,  # a clock that jumps must not cost the backlog
    )


def clock_keeper_of(
    settings: Settings,
    steady: SteadyClock,
    quality: ClockQuality,
    outbox: Outbox,
    uplink: Uplink,
    journal: KeyJournal | None,
) -> ClockKeeper:
    """Return what keeps the clock; what is held is let go once the central has been in reach for long enough."""
    return ClockKeeper(
        steady,
        quality,
        outbox,
        gateway_id=settings.gateway.id,
        hold_s=settings.outbox.hold_unsynchronised_s,
        boot_id=this_boot(),
        is_online=lambda: uplink.state.link is LinkState.ONLINE,
        note_rows=None if journal is None else journal.note,
    )


def policy_of(central: CentralSettings) -> Policy:
    """Return how the uplink may use the link."""
    return Policy(
        central.backoff_max_s,
        live_weight=central.live_weight,
        in_flight=central.batches_in_flight,
        max_bytes_per_s=None if central.max_kbit_s is None else central.max_kbit_s * 1000 / 8,
        stagger_s=central.stagger_s,
        answer_timeout_s=central.answer_timeout_s,
    )
