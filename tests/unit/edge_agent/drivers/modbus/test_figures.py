"""Counts and latencies of a device's answers."""

from __future__ import annotations

from edge_agent.drivers.modbus.figures import LATENCIES, AnswerFigures


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
