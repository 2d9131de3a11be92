"""What `status` says of this installation and of another box with its gateway id."""

from __future__ import annotations

import pytest

from cloud_sync.presence import Presence
from cloud_sync.twins import About, Notice, OtherBox, Sender
from cloud_sync.uplink.state import LinkState
from edge_agent.core.clock import FakeClock
from edge_agent.health.machine import Machine
from edge_agent.installation.identity import InstallationIdentity
from edge_agent.installation.lease import Installation
from edge_agent.settings import Settings
from edge_agent.status.twins import (
    describe_identity,
    describe_presence,
    presence_problems,
    remedy_of_held,
)

OTHER = OtherBox("c" * 16, 4, "d" * 10, "e" * 12, "south", "10.0.0.9", "2026-11-30T12:00:00Z", "2026-11-30T12:00:10Z")
DAY_S = 86_400.0
HERE = Machine("f" * 12)


class Bench:
    """An installation whose central has told `notices`."""

    def __init__(self, *notices: Notice, moved: bool = False, machine: Machine = HERE) -> None:
        self.clock = FakeClock()
        presence = Presence(now_ns=self.clock.now_ns, monotonic_s=self.clock.monotonic_s)
        presence.begin(Sender("a" * 16, 7, "b" * 10))
        moved_at_ns = self.clock.now_ns() if moved else None
        identity = InstallationIdentity("a" * 16, 7, "b" * 10, machine, moved_at_ns)
        self.own = Installation(made_settings(), presence, identity)
        for notice in notices:
            presence.record_notice(notice)

    def problems(self, link: LinkState = LinkState.ONLINE) -> list[str]:
        return [one["what"] for one in presence_problems(self.own, link, now_ns=self.clock.now_ns())]


def made_settings() -> Settings:
    return Settings.model_validate(
        {
            "gateway": {"id": "gw-1", "site": "north"},
            "central": {"url": "https://central.example"},
            "sources": [{"type": "synthetic", "name": "s", "asset": "a", "channels": [{"point": "p"}]}],
        }
    )


def test_alone_there_is_nothing_to_say():
    bench = Bench()
    assert bench.problems() == []
    assert describe_presence(bench.own) == {"twin": None, "took_over": None}
    assert describe_identity(bench.own) == {"instance": "a" * 16, "incarnation": 7, "machine": "f" * 12}
    assert describe_identity(None)["instance"] is None


def test_a_twin_is_named_with_what_finds_it():
    bench = Bench(Notice(About.TWIN, "duplicate", OTHER))
    (what,) = bench.problems()
    for part in ("site south", "machine " + "e" * 12, "address 10.0.0.9", "start 4"):
        assert part in what
    twin = describe_presence(bench.own)["twin"]
    assert (twin["about"], twin["kind"], twin["box"]["site"]) == ("twin", "duplicate", "south")


def test_an_older_agent_is_said_to_mix():
    (what,) = Bench(Notice(About.TWIN, "unnamed", OTHER)).problems()
    assert "an older agent sends with this gateway id" in what


def test_being_held_back_is_said_once_with_the_link_or_without():
    bench = Bench(Notice(About.HELD, "clone", OTHER))
    assert bench.problems(LinkState.REFUSED) == []
    (what,) = bench.problems(LinkState.ONLINE)
    assert what.startswith("central: this gateway id is in use by another box: site south")


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        (Machine("e" * 12), "that is this machine itself"),
        (Machine(cards=("e" * 12,)), "that is this machine itself"),
        (Machine(os="e" * 12), "or the card was copied"),  # a copy has the same id of the system
        (Machine("f" * 12, ("e" * 12,)), None),
        (Machine(), None),
    ],
)
def test_a_wiped_state_folder_is_not_mistaken_for_another_box(machine: Machine, said: str | None):
    bench = Bench(Notice(About.HELD, "duplicate", OTHER), machine=machine)
    remedy = remedy_of_held(bench.own)
    (held,) = presence_problems(bench.own, LinkState.ONLINE, now_ns=bench.clock.now_ns())
    if said is None:
        assert remedy is None
        assert "switch the other one off" in held["do"]
    else:
        assert said in str(remedy)
        assert held["do"] == remedy


@pytest.mark.parametrize(("kind", "said"), [("restored", 1), ("replaced", 0), ("released", 0)])
def test_a_restored_backup_is_a_problem_for_a_while_and_a_replaced_box_is_none(kind: str, said: int):
    bench = Bench(Notice(About.TOOK_OVER, kind, OTHER))
    assert len(bench.problems()) == said
    assert describe_presence(bench.own)["took_over"]["kind"] == kind
    bench.clock.advance(DAY_S)
    assert bench.problems() == []


def test_a_state_folder_from_another_machine_is_said_for_a_day():
    bench = Bench(moved=True)
    assert bench.problems() == ["this state folder comes from another machine"]
    bench.clock.advance(DAY_S)
    assert bench.problems() == []
