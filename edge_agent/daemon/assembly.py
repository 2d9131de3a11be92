"""Parts that are made of settings alone."""

from __future__ import annotations

from collections.abc import Callable, Collection

from cloud_sync.outbox.audit_log import AuditLog
from cloud_sync.outbox.disk_floor import floor_bytes
from cloud_sync.outbox.retention_policy import US_PER_DAY
from cloud_sync.outbox.store import Outbox
from cloud_sync.transports.central_time import CentralTime
from cloud_sync.uplink.scheduler import COALESCED_BLOCKS, LIVE_BLOCKS
from cloud_sync.uplink.sender import LinkState, Policy, Uplink
from edge_agent.core.clock import Clock
from edge_agent.delivery.central_connection import connection_of
from edge_agent.health.clock_keeper import ClockKeeper, this_boot
from edge_agent.health.clock_quality import ClockQuality
from edge_agent.health.steady_clock import SteadyClock
from edge_agent.rollout.index_client import ModelPull
from edge_agent.settings import CentralSettings, Settings
from edge_agent.status.metered_link import MeteredLink


def outbox_of(settings: Settings, clock: Clock, is_clock_synced: ClockQuality) -> Outbox:
    """Return the outbox as configured, not open yet."""
    days = settings.outbox.max_age_days
    return Outbox(
        settings.gateway.state_dir / "outbox.db",
        max_bytes=settings.outbox.max_bytes,
        min_free_bytes=floor_bytes(settings.gateway.state_dir, settings.outbox.min_free_bytes),
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
    audit_log: AuditLog | None,
    central_time: CentralTime | None,
) -> ClockKeeper:
    """Return what keeps the clock; what is held is let go by the central's time, or once that was in reach for long."""
    return ClockKeeper(
        steady,
        quality,
        outbox,
        gateway_id=settings.gateway.id,
        hold_s=settings.outbox.hold_unsynchronised_s,
        boot_id=this_boot(),
        is_online=lambda: uplink.state.link is LinkState.ONLINE,
        record_rows=None if audit_log is None else audit_log.record,
        central_time=central_time,
    )


def policy_of(central: CentralSettings) -> Policy:
    """Return how the uplink may use the link."""
    is_sparing = central.sparing is not None and central.is_metered(None)
    return Policy(
        central.longest_backoff_s,
        live_weight=central.live_weight,
        # A second request beside the first would pay for a connection of its own.
        in_flight=1 if is_sparing else central.batches_in_flight,
        live_blocks=COALESCED_BLOCKS if is_sparing else LIVE_BLOCKS,  # what was collected goes as one request
        max_bytes_per_s=None if central.max_kbit_s is None else central.max_kbit_s * 1000 / 8,
        stagger_s=central.stagger_s,
        answer_timeout_s=central.answer_timeout_s,
    )


def model_pull_of(
    settings: Settings, names: Collection[str], link: MeteredLink, clock: Clock, *, log: Callable[[str, str], None]
) -> ModelPull:
    """Return what looks at the index of bundles: seldom, and counted, where the link costs."""
    every_s = settings.central.asked_every_s(settings.models.pull_every_s)
    return ModelPull(
        settings.models.model_copy(update={"pull_every_s": every_s}),
        names=names,
        connection=lambda: connection_of(settings.central, link.meter, link=link.in_use()),
        clock=clock,
        log=log,
        may_ask=link.may_ask,
    )
