"""The lease an installation asks the central for."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud_sync.twins import sender_of
from edge_agent.installation.lease import Installation
from edge_agent.settings import Settings


@pytest.mark.parametrize(("heartbeat_s", "lease_s"), [(20.0, 60), (5.0, 60), (300.0, 900), (0.0, 3_600)])
def test_the_lease_asked_for_outlasts_three_signs_of_life(tmp_path: Path, heartbeat_s: float, lease_s: int):
    settings = Settings.model_validate(
        {
            "gateway": {"id": "gw-1", "site": "north", "state_dir": tmp_path},
            "central": {"url": "https://central.example", "heartbeat_s": heartbeat_s},
            "sources": [{"type": "synthetic", "name": "s", "asset": "a", "channels": [{"point": "p"}]}],
        }
    )
    own = Installation(settings)
    own.begin(now_ns=0, log=lambda _, __: None)
    sender = sender_of(own.presence.line())
    assert sender is not None
    assert (sender.lease_s, sender.site, sender.incarnation) == (lease_s, "north", 1)
