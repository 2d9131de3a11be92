"""Bytes of the link as `status` shows them."""

from __future__ import annotations

from cloud_sync.transports.link_meter import LinkBytes, LinkMeter
from edge_agent.cli.status_text import link_lines
from edge_agent.core.clock import FakeClock
from edge_agent.status.traffic import Traffic

MINUTE = LinkBytes(payload=600, carried=800, sent=700, received=300, tcp_ip=520)


def test_shares_are_of_what_tcp_carried():
    clock, meter = FakeClock(), LinkMeter()
    traffic = Traffic(meter, clock.monotonic_s)
    traffic.describe(0)
    meter.add(MINUTE)
    clock.advance(90.0)
    told = traffic.describe(50)
    assert told["last_hour"] == {
        "seconds": 90, "bytes": 1_000, "records": 50, "bytes_per_record": 20.0,
        "payload_share": 0.6, "headers_share": 0.2, "tls_share": 0.2,
    }  # fmt: skip
    assert (told["sent_bytes_total"], told["tcp_ip_bytes_total"]) == (700, 520)
    assert link_lines({"traffic": told}) == ["1.0 kB in 2 min, 20 bytes a record; payload 60%, headers 20%, TLS 20%"]


def test_what_is_older_than_an_hour_is_no_longer_counted():
    clock, meter = FakeClock(), LinkMeter()
    traffic = Traffic(meter, clock.monotonic_s)
    told = traffic.describe(0)
    for minute in range(1, 181):
        clock.advance(60.0)
        meter.add(MINUTE)
        told = traffic.describe(10 * minute)
    assert told["last_hour"]["seconds"] == 3_600
    assert told["last_hour"]["bytes"] == 60 * 1_000
    assert told["last_hour"]["records"] == 600
    (line,) = link_lines({"traffic": told})
    assert line == "60.0 kB in the last hour, 100 bytes a record; payload 60%, headers 20%, TLS 20%"


def test_nothing_sent_is_no_line_and_no_division():
    told = Traffic(LinkMeter(), FakeClock().monotonic_s).describe(0)
    assert told["last_hour"]["bytes_per_record"] is None
    assert link_lines({"traffic": told}) == []
    assert link_lines({}) == []
