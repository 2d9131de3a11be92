"""Parts that are made of settings alone."""

from __future__ import annotations

from collections.abc import Callable, Collection

from cloud_sync.outbox import Outbox
from cloud_sync.outbox_room import floor_of
from cloud_sync.retention import US_PER_DAY
from cloud_sync.transports.counted_backend import count_connections
from cloud_sync.uplink.sender import Policy
from edge_agent.core.clock import Clock
from edge_agent.health.clock_quality import ClockQuality
from edge_agent.local.metered_link import MeteredLink
from edge_agent.pipeline.model_pull import ModelPull
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


def policy_of(central: CentralSettings) -> Policy:
    """Return how the uplink may use the link."""
    return Policy(
        central.longest_backoff_s,
        live_weight=central.live_weight,
        # A second request beside the first would pay for a connection of its own.
        in_flight=1 if central.sparing else central.batches_in_flight,
        max_bytes_per_s=None if central.max_kbit_s is None else central.max_kbit_s * 1000 / 8,
        stagger_s=central.stagger_s,
    )


def model_pull_of(
    settings: Settings, names: Collection[str], link: MeteredLink, clock: Clock, *, say: Callable[[str, str], None]
) -> ModelPull:
    """Return what looks at the index of bundles: seldom, and counted, where the link costs."""
    every_s = settings.central.asked_every_s(settings.models.pull_every_s)
    return ModelPull(
        settings.models.model_copy(update={"pull_every_s": every_s}),
        names=names,
        ca_file=settings.central.ca_file,
        clock=clock,
        say=say,
        may_ask=link.may_ask,
        count=lambda client: count_connections(client, link.meter),
    )
