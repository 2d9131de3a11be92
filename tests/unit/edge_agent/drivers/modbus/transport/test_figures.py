"""Counts and latencies of a device's answers."""

from __future__ import annotations

from edge_agent.drivers.modbus.transport.figures import LATENCIES, NEWEST, AnswerFigures


def test_before_the_first_answer_no_latency_is_known():
    values = AnswerFigures().values()
    assert (values["latency_p50_ms"], values["latency_p99_ms"]) == (None, None)
    assert (values["exceptions_total"], values["exceptions_by_code"]) == (0, {})


def test_latencies_are_of_the_newest_answers_and_memory_is_bounded():
    figures = AnswerFigures()
    for _ in range(500):
        figures.count_answer(9.0)
    for number in range(1, LATENCIES + 1):
        figures.count_answer(number / 1e3)
    assert (figures.values()["latency_p50_ms"], figures.values()["latency_p99_ms"]) == (500.0, 990.0)


def test_exceptions_are_counted_by_code():
    figures = AnswerFigures()
    for code in (11, 2, 11):
        figures.count_exception(code)
    assert figures.values()["exceptions_total"] == 3
    assert figures.values()["exceptions_by_code"] == {"2": 1, "11": 2}


def asked(*strange: bool) -> AnswerFigures:
    figures = AnswerFigures()
    for is_strange in strange:
        figures.requests_total += 1
        if is_strange:
            figures.count_strange("plc:502: only 5 bytes of the answer came", "a longer timeout_s")
    return figures


def test_many_strange_answers_among_good_ones_are_a_problem_that_ends():
    figures = asked(*[False, False, True] * 40)
    problem = figures.problem()
    assert problem is not None
    assert problem.what == (
        "34 of the newest 100 requests got a damaged or wrong answer, the last time:"
        " plc:502: only 5 bytes of the answer came"
    )
    assert problem.do == "a longer timeout_s"
    figures.requests_total += NEWEST
    assert figures.problem() is None


def test_few_strange_answers_are_noise_and_nothing_else_is_a_device_that_is_lost():
    assert asked(*[True] * 4, *[False] * 20).problem() is None
    assert asked(*[True] * 4, *[False] * 200).problem() is None
    assert asked(*[True] * 14).problem() is None
    assert asked(*[True] * 500).problem() is None
