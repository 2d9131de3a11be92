"""Sources that are away: one problem for one reason, each by its name."""

from __future__ import annotations

from edge_agent.drivers.supervisor import SourceHealth, SourceState
from edge_agent.status.document import losses

PORT = "the serial port /dev/ttyUSB0 cannot be opened: there is no such port"


def lost(name: str, why: str, since_ns: int = 0, hint: str | None = "plug it in") -> SourceHealth:
    return SourceHealth(SourceState.LOST, since_ns, message=f"{name}: {why}", hint=hint)


def test_a_source_that_is_away_is_named_with_its_reason() -> None:
    (found,) = losses({"m1": lost("m1", PORT), "m2": SourceHealth(SourceState.RUNNING, 0)})
    assert (found["what"], found["do"]) == (f"m1: {PORT}", "plug it in")


def test_sources_of_one_line_that_is_gone_are_one_problem_since_the_first() -> None:
    sources = {f"m{i}": lost(f"m{i}", PORT, since_ns=(9 - i) * 10**9) for i in range(1, 6)}
    (found,) = losses(sources)
    assert found["what"] == f"m1, m2, m3 and 2 more: {PORT}"
    assert found["since"] == "1970-01-01T00:00:04.000Z"
    (two,) = losses({name: sources[name] for name in ("m4", "m5")})
    assert two["what"] == f"m4, m5: {PORT}"


def test_other_reasons_are_problems_of_their_own() -> None:
    sources = {"m1": lost("m1", PORT), "m2": lost("m2", "no answer"), "m3": lost("m3", PORT, hint=None)}
    assert [found["what"] for found in losses(sources)] == [f"m1: {PORT}", "m2: no answer", f"m3: {PORT}"]
