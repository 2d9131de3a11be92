"""Every node has a state, in words that say what to do; a refusal is said once."""

from __future__ import annotations

import pytest
from asyncua import ua

from edge_agent.core.clock import FakeClock
from edge_agent.core.gaps import GapCause
from edge_agent.drivers.opcua.decoding.values import Values
from edge_agent.drivers.opcua.node_states import NodeStates
from edge_agent.drivers.opcua.settings import OpcUaSettings
from edge_agent.drivers.report import TagState

SETTINGS = OpcUaSettings.model_validate(
    {
        "type": "opcua", "name": "pump", "endpoint": "opc.tcp://127.0.0.1:1", "allow_plaintext": True,
        "nodes": [{"name": f"p.{name}", "unit": "", "node_id": f"ns=2;s={name}"} for name in ("a", "b")],
    }
)  # fmt: skip
GONE = ua.StatusCodes.BadNodeIdUnknown


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.values = Values(SETTINGS, self.clock)
        self.states = NodeStates(SETTINGS, self.values, self.clock)

    def take(self, value: object, status: int = 0):
        """Node a brings this value; the gaps that follow."""
        self.clock.advance(1.0)
        data_value = ua.DataValue(ua.Variant(value), StatusCode=ua.StatusCode(status))
        return self.states.take(0, data_value, self.values.reading(0, data_value, self.clock.now_ns()))

    @property
    def a(self):
        return self.states.reports()["p.a"]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_node_waits_for_its_first_value_and_no_one_is_refused(bench):
    assert {each.state for each in bench.states.reports().values()} == {TagState.WAITING}
    assert bench.states.not_watched == ()
    assert bench.states.bad_readings() == ()


@pytest.mark.parametrize(
    ("value", "status", "state", "status_code"),
    [
        (1.0, 0, TagState.GOOD, "0x00000000 Good"),
        (1.0, ua.StatusCodes.UncertainSensorNotAccurate, TagState.UNCERTAIN, "0x40930000 UncertainSensorNotAccurate"),
        (1.0, ua.StatusCodes.BadDeviceFailure, TagState.BAD, "0x808B0000 BadDeviceFailure"),
        (float("nan"), 0, TagState.BAD, "0x00000000 Good"),
        ("twelve", 0, TagState.REFUSED, "0x00000000 Good"),
        ([1.0, 2.0], 0, TagState.REFUSED, "0x00000000 Good"),
        (1.0, GONE, TagState.REFUSED, "0x80340000 BadNodeIdUnknown"),
    ],
)
def test_the_state_follows_status_and_value(bench, value, status, state, status_code):
    bench.take(value, status)
    assert (bench.a.state, bench.a.status_code) == (state, status_code)


@pytest.mark.parametrize(
    ("code", "state", "words"),
    [
        (GONE, TagState.REFUSED, 'the server has no node "ns=2;s=a": 0x80340000 BadNodeIdUnknown'),
        (ua.StatusCodes.BadNotReadable, TagState.REFUSED, '"ns=2;s=a" may not be read at the server'),
        (ua.StatusCodes.BadUserAccessDenied, TagState.REFUSED, 'does not let this user read "ns=2;s=a"'),
        (ua.StatusCodes.BadAttributeIdInvalid, TagState.REFUSED, "it is an object or a method"),
        (ua.StatusCodes.BadTooManyMonitoredItems, TagState.NOT_TAKEN, 'the server has no place for "ns=2;s=a"'),
        (ua.StatusCodes.BadMonitoredItemFilterUnsupported, TagState.NOT_TAKEN, "cannot watch"),
        (0x80FE0000, TagState.REFUSED, 'the server does not take "ns=2;s=a"'),
    ],
)
def test_a_refusal_names_node_and_status_and_is_said_once(bench, code, state, words):
    (gap,) = bench.states.refuse({0: code}, {})
    assert (gap.subject, gap.cause) == ("p.a", GapCause.DEVICE_REJECTED)
    assert words in gap.detail
    assert (bench.a.state, bench.states.not_watched) == (state, (0,))
    (reading,) = bench.states.bad_readings()
    assert words in reading.status
    since_ns = bench.a.since_ns
    bench.clock.advance(300.0)
    assert bench.states.refuse({0: code}, {}) == []
    assert bench.a.since_ns == since_ns


def test_a_node_that_could_not_be_found_has_its_reason(bench):
    (gap,) = bench.states.refuse({}, {1: 'the server has no namespace "urn:x"'})
    report = bench.states.reports()["p.b"]
    assert gap.subject == "p.b"
    assert (report.state, report.status_code) == (TagState.REFUSED, None)
    assert 'no namespace "urn:x"' in report.detail


def test_a_refused_node_that_is_taken_later_waits_and_is_watched(bench):
    bench.states.refuse({0: GONE}, {})
    bench.states.ask([0])
    assert (bench.a.state, bench.states.not_watched) == (TagState.WAITING, ())
    assert bench.take(1.0) == []
    assert len(bench.states.refuse({0: GONE}, {})) == 1


def test_since_is_when_the_state_began_not_its_newest_value(bench):
    bench.take(1.0)
    began_ns = bench.a.since_ns
    bench.take(2.0)
    bench.take(2.0, 0x00000480)
    assert bench.a.since_ns == began_ns
    bench.take(2.0, ua.StatusCodes.BadDeviceFailure)
    assert bench.a.since_ns > began_ns
