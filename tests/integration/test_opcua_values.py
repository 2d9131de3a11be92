"""Values, times and addresses of an OPC UA server, through the whole line to rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
import pytest_asyncio
from asyncua import ua

from edge_agent.core.quality import Quality
from edge_agent.drivers.report import TagState
from tests.support.opcua_plant import NAMESPACE, ForcedServer, Line, now, seconds_from

pytestmark = pytest.mark.asyncio(loop_scope="module")
N = 8
KINDS = ua.VariantType


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plant():
    server = ForcedServer()
    await server.start()
    yield server
    await server.stop()


def node(address: str, **more: object) -> list[dict[str, object]]:
    key = "browse_path" if "/" in address else "node_id"
    return [{"name": "p.it", "unit": "", key: address, **more}]


def all_came_in_order(line: Line, tag: str, expected: list[float]) -> bool:
    rows = line.rows(tag)
    assert all(earlier.time_us < later.time_us for earlier, later in pairwise(rows))
    return [row.value for row in rows][-len(expected) :] == expected


@pytest.mark.parametrize(
    "off",
    [
        timedelta(hours=3), -timedelta(hours=3), timedelta(days=2), -timedelta(days=30),
        datetime(2020, 1, 1, tzinfo=UTC), datetime(1601, 1, 1, 0, 5, tzinfo=UTC), datetime(9999, 12, 1, tzinfo=UTC),
    ],
    ids=["3 h ahead", "3 h behind", "2 days ahead", "30 days old", "2020", "1601", "9999"],
)  # fmt: skip
async def test_rows_of_a_wrong_clock_have_a_believable_time_and_its_source_is_named(plant, off, request):
    name = request.node.callspec.id.replace(" ", "")
    start = now()

    def at(n: int) -> datetime:
        return (off if isinstance(off, datetime) else now() + off) + timedelta(milliseconds=n)

    await plant.add(name, -1.0)
    async with Line(plant.driver(name)) as line:
        tag = f"p.{name}"
        await line.until(lambda line: line.rows(tag))
        for n in range(N):
            await plant.put(name, float(n), source=at(n))
            await line.until(lambda line, n=n: line.rows(tag)[-1].value == n)
    assert all_came_in_order(line, tag, [float(n) for n in range(N)])
    assert all(-1 < seconds_from(start, row) < 60 and row.quality == 1.0 for row in line.rows(tag))
    assert "the source's time is" in line.tags.latest[tag].status
    report = line.driver.report()
    assert report.time_skew_s is not None
    assert abs(report.time_skew_s) > 10_000
    (found,) = report.problems
    assert f"the times that the server gives 1 of its tags are not used: first {tag}" in found.what
    assert line.gaps == []


async def test_a_frozen_source_time_with_a_changing_value_loses_no_row(plant):
    frozen = now() - timedelta(minutes=2)
    await plant.add("Frozen", -1.0)
    async with Line(plant.driver("Frozen")) as line:
        await line.until(lambda line: line.rows("p.frozen"))
        for n in range(N):
            await plant.put("Frozen", float(n), source=frozen)
            await line.until(lambda line, n=n: line.rows("p.frozen")[-1].value == n)
    assert all_came_in_order(line, "p.frozen", [float(n) for n in range(N)])
    assert line.driver.report().problems == ()


async def test_values_of_one_publish_with_one_time_all_arrive_a_microsecond_apart(plant):
    await plant.add("Burst", -1.0)
    async with Line(plant.driver("Burst", publishing_interval_ms=300)) as line:
        await line.until(lambda line: line.rows("p.burst"))
        at = now()
        for n in range(20):
            await plant.put("Burst", float(n), source=at)
        await line.until(lambda line: len(line.rows("p.burst")) == 21)
    assert all_came_in_order(line, "p.burst", [float(n) for n in range(20)])
    times = {row.time_us - round(at.timestamp() * 1e6) for row in line.rows("p.burst")[1:]}
    assert 0 in times
    assert 1 in times


async def test_a_clock_that_jumps_both_ways_loses_no_row(plant):
    await plant.add("Jumps", -1.0)
    start = now()
    async with Line(plant.driver("Jumps")) as line:
        await line.until(lambda line: line.rows("p.jumps"))
        for n in range(12):
            jump = timedelta(seconds=(120, -240, 3, -7_200)[n % 4])
            await plant.put("Jumps", float(n), source=now() + jump, server=now() - jump)
            await line.until(lambda line, n=n: line.rows("p.jumps")[-1].value == n)
    assert all_came_in_order(line, "p.jumps", [float(n) for n in range(12)])
    assert all(-300 < seconds_from(start, row) < 60 for row in line.rows("p.jumps"))


async def test_a_status_that_changes_alone_is_a_row(plant):
    at = now() - timedelta(seconds=30)
    await plant.add("Doubt", 5.0)
    await plant.put("Doubt", 5.0, source=at)
    async with Line(plant.driver("Doubt")) as line:
        await line.until(lambda line: line.rows("p.doubt"))
        await plant.put("Doubt", 5.0, source=at, status=ua.StatusCodes.UncertainLastUsableValue)
        await line.until(lambda line: len(line.rows("p.doubt")) == 2)
    assert [(row.value, row.quality) for row in line.rows("p.doubt")] == [(5.0, 1.0), (5.0, 0.4)]


@pytest.mark.parametrize(
    ("value", "kind", "more", "expected", "words"),
    [
        ([1.5], None, {}, 1.5, ""),
        ([4, 5, 6], KINDS.Int32, {"index": 2}, 6.0, ""),
        ([4, 5, 6], KINDS.Int32, {"index": 3}, None, "it has no element 3"),
        ([4, 5, 6], KINDS.Int32, {}, None, "choose one with index = 0 to 2"),
        (2**53 - 1, KINDS.Int64, {}, 2.0**53 - 1, ""),
        (2**64 - 1, KINDS.UInt64, {}, 2.0**64, "exactly 18446744073709551615"),
        (200, KINDS.Byte, {"scale": 0.5, "offset": -40.0}, 60.0, ""),
        ("42,5", KINDS.String, {"parse": True}, 42.5, ""),
        ("42,5", KINDS.String, {}, None, 'a String "42,5", not a number'),
        (b"\x01\x02", KINDS.ByteString, {}, None, "a ByteString of 2 bytes"),
        (datetime(2026, 1, 1, tzinfo=UTC), KINDS.DateTime, {}, None, "a DateTime"),
        (ua.StatusCode(0x80000000), KINDS.StatusCode, {}, None, "a StatusCode"),
        (float("inf"), KINDS.Double, {}, None, "inf, not a finite number"),
    ],
)  # fmt: skip
async def test_what_a_value_is_becomes_a_number_or_words(plant, value, kind, more, expected, words, request):
    name = request.node.name
    await plant.add(name, value, kind)
    async with Line(plant.driver(nodes=node(f"ns=2;s={name}", **more))) as line:
        reading = await line.reading("p.it")
    assert reading.value == expected
    assert words in reading.status
    if expected is None or "exactly" in words:
        assert reading.quality is (Quality.BAD if expected is None else Quality.UNCERTAIN)
    assert [row.value for row in line.rows("p.it")] == ([] if expected is None else [expected])


async def test_a_namespace_that_moved_is_found_at_the_next_connect(plant):
    array = plant.server.get_node(ua.ObjectIds.Server_NamespaceArray)
    uris = await array.read_value()
    await plant.add("Moved", 2.0)
    await plant.add("Moved", 3.0, namespace=3)
    driver = plant.driver(nodes=node(f"nsu={NAMESPACE};s=Moved"))
    async with Line(driver) as line:
        assert (await line.reading("p.it")).value == 2.0
    await array.write_value([*uris[:2], "urn:plant:new", NAMESPACE])
    try:
        async with Line(driver) as line:
            assert (await line.reading("p.it")).value == 3.0
    finally:
        await array.write_value(uris)


async def test_an_unknown_namespace_is_refused_with_those_the_server_has(plant):
    await plant.add("Known", 7.0)
    nodes = [*node("nsu=urn:other;s=T"), {"name": "p.known", "unit": "", "node_id": "ns=2;s=Known"}]
    async with Line(plant.driver(nodes=nodes)) as line:
        assert (await line.reading("p.known")).value == 7.0
        report = line.driver.report().tags["p.it"]
    assert report.state is TagState.REFUSED
    assert 'the server has no namespace "urn:other"; it has "http://opcfoundation.org/UA/"' in report.detail
    assert NAMESPACE in report.detail


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("Objects/2:Machine/*/Temperature", "more than one"),
        ("Objects/2:Machine/2:Left/Temp*", 21.0),
        (f"/Objects/nsu={NAMESPACE};Machine/Right/Temperature", 22.0),
        ("Objects/**/Right/Temperature", 22.0),
        ("Objects/2:Machine/Left", "to no variable"),
        ("Objects/2:Machine/Middle/Temperature", "no node matches"),
        ("Objects/nsu=urn:other;Machine", "the server has no namespace"),
    ],
)
async def test_a_browse_path_is_one_node_or_refused_with_its_candidates(plant, path, found):
    if not await plant.machine.get_children(nodeclassmask=ua.NodeClass.Object):
        for n, side in enumerate(("Left", "Right")):
            below = await plant.machine.add_object(2, side)
            await below.add_variable(2, "Temperature", 21.0 + n)
    async with Line(plant.driver(nodes=node(path))) as line:
        if isinstance(found, float):
            assert (await line.reading("p.it")).value == found
            return
        report = line.driver.report().tags["p.it"]
    assert report.state is TagState.REFUSED
    if found == "more than one":
        assert "2 nodes match: 0:Objects/2:Machine/2:Left/2:Temperature, 0:Objects/2:Machine/2:Right" in report.detail
    else:
        assert found in report.detail


async def test_enumerations_show_their_words(plant):
    own = await plant.server.nodes.enum_data_type.add_data_type(ua.NodeId("Modes", 2), "2:Modes")
    await own.add_property(0, "EnumStrings", [ua.LocalizedText(text) for text in ("off", "manual", "auto")])
    state = ua.NodeId(ua.ObjectIds.ServerState)
    for name, value, kind in (("Mode", 2, own.nodeid), ("State", 1, state), ("Unknown", 77, own.nodeid)):
        await plant.machine.add_variable(ua.NodeId(name, 2), name, ua.Variant(value, KINDS.Int32), datatype=kind)
    selector = await plant.add("Selector", 1, KINDS.UInt16)
    await selector.add_property(0, "EnumStrings", [ua.LocalizedText("left"), ua.LocalizedText("right")])
    async with Line(plant.driver("Mode", "State", "Selector", "Unknown")) as line:
        await line.until(lambda line: len(line.tags.latest) == 4)
        for n, name in enumerate(("Mode", "State", "Selector", "Unknown")):
            await plant.put(name, n % 2, kind=KINDS.UInt16 if name == "Selector" else KINDS.Int32)
        await line.until(lambda line: all(len(line.rows(f"p.{name}")) == 2 for name in ("mode", "selector")))
        words = {name: (reading.value, reading.word) for name, reading in line.tags.latest.items()}
    assert words["p.mode"] == (0.0, "off")
    assert words["p.selector"] == (0.0, "left")
    assert words["p.state"][1] in ("Failed", "Failed_1", "Running", "Running_0")
