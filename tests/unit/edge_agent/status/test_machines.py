"""Sources, tags and alarms as the status document shows them."""

from edge_agent.core.channel import Channel, WhenFull
from edge_agent.core.clock import FakeClock
from edge_agent.core.quality import Quality
from edge_agent.core.tags import Reading, Scan, Tag, TextReading
from edge_agent.drivers.report import SourceProblem, SourceReport, TagReport, TagState
from edge_agent.drivers.supervisor import SourceHealth, SourceState
from edge_agent.pipeline.recorder import Recorder
from edge_agent.pipeline.stages import TagStage
from edge_agent.pipeline.tags import TagLine
from edge_agent.settings.source_kinds import built_in_kinds
from edge_agent.status.fields import rfc3339
from edge_agent.status.machines import describe_source, points_in_alarm, signal_problems
from tests.support.tag_lines import START_NS, at


def test_a_fault_line_under_a_models_alarm_is_the_same_alarm():
    alarms = [
        {"kind": "model", "subject": "rig-1.bearing-1"},
        {"kind": "fault_line", "subject": "rig-1.bearing-1"},
        {"kind": "zone", "subject": "rig-1.bearing-2"},
    ]
    assert points_in_alarm(alarms) == 2
    assert points_in_alarm([]) == 0


NODES = [f"press-3.node-{number}" for number in range(6)]


async def put(records) -> None:
    pass


def stage_of(names: list[str]) -> TagStage:
    recorder = Recorder(is_clock_synced=lambda: True)
    line = TagLine("plc", deadbands=dict.fromkeys(names, 0.0), heartbeat_s=60.0, recorder=recorder)
    return TagStage(line, Channel("plc", capacity=4, when_full=WhenFull.BLOCK), put, FakeClock())


def refused(names: list[str]) -> SourceReport:
    report = TagReport(TagState.REFUSED, "no such node", START_NS, status_code="0x80340000 BadNodeIdUnknown")
    return SourceReport(dict.fromkeys(names, report), (SourceProblem("its clock is off", START_NS, "set it"),), 3.5)


def test_every_configured_tag_is_named_with_its_state():
    tags = [{"name": name, "unit": "", "address": 1} for name in (*NODES[:2], "press-3.temperature")]
    device = {"type": "modbus", "name": "plc", "host": "h", "poll_groups": [{"tags": tags}]}
    settings = built_in_kinds()["modbus"].model_validate(device)
    stage = stage_of([tag.name for tag in settings.all_tags])
    stage.tags.push(at(0, 21.5))
    health = SourceHealth(SourceState.RUNNING, START_NS)
    document = describe_source(settings, health, [stage], START_NS, refused(NODES[:1]))
    states = {tag["name"]: (tag["state"], tag["quality"], tag["status_code"]) for tag in document["tags"]}
    assert states == {
        NODES[0]: ("refused", None, "0x80340000 BadNodeIdUnknown"),
        NODES[1]: ("waiting", None, None),
        "press-3.temperature": ("good", "good", None),
    }
    assert document["time_skew_s"] == 3.5


def test_many_refused_tags_are_one_problem_and_a_few_are_named():
    stage = stage_of([*NODES, "press-3.temperature"])
    many, skew = signal_problems([stage], [], {"plc": refused(NODES)})
    assert all(words in many["what"] for words in ("6 of 7 tags refused", NODES[0], "no such node"))
    assert None not in (many["since"], many["do"])
    assert skew["what"] == "plc: its clock is off"
    few = signal_problems([stage], [], {"plc": refused(NODES[:2])})
    assert [problem["what"] for problem in few[:2]] == [f"{name}: no such node" for name in NODES[:2]]


def test_a_text_and_the_word_of_a_number_are_shown_and_a_bad_text_is_none():
    tags = [
        {"name": "press-3.mode", "unit": "", "address": 1, "words": {2: "auto"}},
        {"name": "press-3.recipe", "unit": "", "address": 2, "data_type": "string", "length": 8},
    ]
    device = {"type": "modbus", "name": "plc", "host": "h", "poll_groups": [{"tags": tags}]}
    settings = built_in_kinds()["modbus"].model_validate(device)
    stage = stage_of([tag.name for tag in settings.all_tags])
    mode, recipe = (Tag(tag.name, "", "general") for tag in settings.all_tags)
    known = Reading(mode, 2.0, Quality.GOOD, None, START_NS, word="auto")
    health = SourceHealth(SourceState.RUNNING, START_NS)

    def shown() -> dict[str, tuple[object, ...]]:
        document = describe_source(settings, health, [stage], START_NS)
        fields = ("state", "quality", "value", "text", "time")
        return {tag["name"]: tuple(tag[field] for field in fields) for tag in document["tags"]}

    stage.tags.push(Scan("plc", (known,), (TextReading(recipe, "M8", START_NS),)))
    time = rfc3339(START_NS)
    assert shown() == {
        "press-3.mode": ("good", "good", 2.0, "auto", time),
        "press-3.recipe": ("good", "good", None, "M8", time),
    }
    stage.tags.push(Scan("plc", (Reading(recipe, None, Quality.BAD, None, START_NS, "exception 2"),)))
    assert shown()["press-3.recipe"] == ("bad", "bad", None, None, time)


def test_tags_without_an_answer_are_no_problem_beside_a_source_that_is_away():
    stage = stage_of(NODES[:3])
    silent = TagReport(TagState.BAD, "exception 11 (holding 0, unit 3)", START_NS, exception=11)
    report = SourceReport({NODES[0]: silent, **refused(NODES[1:2]).tags})
    assert len(signal_problems([stage], [], {"plc": report})) == 2
    (left,) = signal_problems([stage], [], {"plc": report}, frozenset({"plc"}))
    assert left["what"] == f"{NODES[1]}: no such node"
