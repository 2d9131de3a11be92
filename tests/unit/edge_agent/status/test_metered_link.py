"""Budgets of the link in the agent: kept on the disk, shown, and a problem when they hold something back."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud_sync.transports.link_meter import LinkBytes, LinkMeter
from cloud_sync.uplink.gate import OpenGate
from edge_agent.cli.status_text import link_lines
from edge_agent.core.clock import FakeClock
from edge_agent.settings import Settings
from edge_agent.status.metered_link import MeteredLink, metered_link

NOON_NS = 1_773_144_000 * 10**9  # 2026-03-10 12:00 UTC
HOUR_S = 3_600.0


def settings_of(tmp_path: Path, **central: object) -> Settings:
    return Settings.model_validate(
        {
            "gateway": {"id": "gw-1", "site": "plant", "state_dir": tmp_path},
            "central": {"url": "https://central.example.com", **central},
            "sources": [
                {
                    "type": "synthetic", "name": "shaft", "asset": "rig-1", "sample_rate_hz": 20_480,
                    "channels": [{"point": "de"}],
                }
            ],
        }
    )  # fmt: skip


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOON_NS)


def link_with(tmp_path: Path, clock: FakeClock, meter: LinkMeter) -> MeteredLink:
    budget = {"bytes_per_day": 100_000, "calendar": "utc"}
    return metered_link(settings_of(tmp_path, budget=budget), meter, clock, is_synced=lambda: True)


def test_ordinary_link_has_no_gate_and_no_file(tmp_path: Path, clock: FakeClock):
    link = metered_link(settings_of(tmp_path), LinkMeter(), clock, is_synced=lambda: True)
    assert isinstance(link.gate, OpenGate)
    assert link.may_ask()
    assert link.describe(0, clock.now_ns())["link"]["budgets"] == []
    assert list(tmp_path.iterdir()) == []


async def test_what_was_charged_is_there_after_a_restart_with_tcp_and_ip(tmp_path: Path, clock: FakeClock):
    meter = LinkMeter()
    link = link_with(tmp_path, clock, meter)
    meter.add(LinkBytes(payload=500, carried=800, sent=700, received=300, tcp_ip=520))
    link.gate.withheld()
    await link.save()
    again = link_with(tmp_path, clock, LinkMeter())
    (budget,) = again.describe(0, clock.now_ns())["link"]["budgets"]
    assert budget == {
        "period": "day", "limit_bytes": 100_000, "used_bytes": 1_520, "left_bytes": 98_480, "forecast_bytes": 3_040,
        "period_start": "2026-03-10T00:00:00.000Z", "period_end": "2026-03-11T00:00:00.000Z",
    }  # fmt: skip
    (line,) = link_lines(again.describe(0, clock.now_ns()))
    assert line == "budget: 1.5 kB of 100.0 kB used this day, forecast 3.0 kB, until 2026-03-11 00:00 UTC"


def test_budget_ahead_of_its_pace_is_a_problem_after_an_hour(tmp_path: Path, clock: FakeClock):
    meter = LinkMeter()
    link = link_with(tmp_path, clock, meter)
    meter.add(LinkBytes(sent=70_000))
    link.describe(0, clock.now_ns())
    assert link.problem(None, clock.now_ns()) is None
    clock.advance(HOUR_S)
    told = link.problem(None, clock.now_ns())
    assert told is not None
    assert told["what"].startswith("the data budget does not suffice (70.0 kB of 100.0 kB a day, forecast ")
    assert told["since"] == "2026-03-10T12:00:00.000Z"
    assert "report.interval_s" in told["do"]


def test_budget_that_is_used_up_is_a_problem_at_once_and_gone_in_the_next_period(tmp_path: Path, clock: FakeClock):
    meter = LinkMeter()
    link = link_with(tmp_path, clock, meter)
    meter.add(LinkBytes(sent=95_000))
    assert link.describe(0, clock.now_ns())["link"]["sends"] == "events"
    told = link.problem(None, clock.now_ns())
    assert told is not None
    assert told["what"] == (
        "the data budget is used up (95.0 kB of 100.0 kB a day): readings wait until 2026-03-11 00:00 UTC, "
        "events are sent"
    )
    assert not link.may_ask()
    clock.advance(12 * HOUR_S)
    assert link.describe(0, clock.now_ns())["link"]["sends"] == "everything"
    assert link.problem(None, clock.now_ns()) is None


def test_budget_of_the_modem_holds_nothing_back_over_ethernet(tmp_path: Path, clock: FakeClock):
    links = [{"name": "ethernet", "interface": "eth0"}, {"name": "lte", "interface": "wwan0", "metered": True}]
    settings = settings_of(
        tmp_path,
        links=links,
        link_profile="metered",
        budget={"bytes_per_day": 100_000, "calendar": "utc"},
        quiet_hours=[{"start": "00:00", "end": "23:59"}],
    )
    meter, used = LinkMeter(), ["lte"]
    link = metered_link(settings, meter, clock, is_synced=lambda: True, in_use=lambda: used[0])
    meter.of("lte").add(LinkBytes(sent=95_000))
    assert link.describe(0, clock.now_ns())["link"]["sends"] == "events"
    assert link.problem(None, clock.now_ns()) is not None
    used[0] = "ethernet"
    told = link.describe(0, clock.now_ns())["link"]
    assert (told["sends"], told["is_quiet"], told["next_reading_s"]) == ("everything", False, 0)
    assert told["budgets"][0]["used_bytes"] == 95_000
    assert link.problem(None, clock.now_ns()) is None


async def test_disk_that_takes_nothing_is_said_once_and_ends_nothing(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
):
    meter = LinkMeter()
    link = link_with(tmp_path / "gone", clock, meter)
    meter.add(LinkBytes(sent=10))
    link.gate.withheld()
    await link.save()
    await link.save()
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "what was used of the data budget cannot be kept"
    ]
