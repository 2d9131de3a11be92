"""The search in a silent request finds every tag that is answered outside of silent runs, with few silences."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.drivers.modbus.plan import RegisterBlock, block_of
from edge_agent.drivers.modbus.polling.silent_search import Answered, SilentSearch
from edge_agent.drivers.modbus.tag_settings import ModbusTagSettings


def block(n: int) -> RegisterBlock:
    return block_of([ModbusTagSettings(name=f"a.t{address}", unit="", address=address) for address in range(n)])


def search_through(search: SilentSearch, silent: set[int], refused: frozenset[int] = frozenset()) -> int:
    """Answer its questions as a device of which some registers are silent; return how many silences it cost."""
    silences = 0
    while (question := search.question()) is not None:
        cells = set(range(question.address, question.end))
        if cells & silent:
            answered = Answered.NOTHING
            silences += 1
        else:
            answered = Answered.EXCEPTION if cells & refused else Answered.CELLS
        search.take(question, answered)
    return silences


def addresses(blocks: list[RegisterBlock]) -> set[int]:
    return {tag.address for one in blocks for tag in one.tags}


def test_one_silent_range_is_bounded_by_few_questions() -> None:
    search = SilentSearch(block(100))
    silences = search_through(search, set(range(20, 100)))
    assert addresses(search.fine) == set(range(20))
    assert addresses(search.silent) == set(range(20, 100))
    assert silences <= 16


def test_a_block_of_which_both_ends_are_silent_is_left_for_another_day_and_halved_then() -> None:
    search = SilentSearch(block(16))
    assert search_through(search, {0, 15}) == 2
    assert addresses(search.silent) == set(range(16))
    again = SilentSearch(search.silent[0], known_silent_wait_s=5.0)
    search_through(again, {0, 15})
    assert addresses(again.fine) == set(range(1, 15))
    assert addresses(again.silent) == {0, 15}


def test_a_hole_that_is_silent_separates_what_is_answered() -> None:
    tags = [ModbusTagSettings(name=f"a.t{address}", unit="", address=address) for address in (0, 1, 10, 11)]
    search = SilentSearch(block_of(tags))
    assert search_through(search, set(range(2, 10))) == 0
    assert [(one.address, one.count) for one in search.fine] == [(0, 2), (10, 2)]


def test_a_tag_that_is_answered_with_an_exception_is_in_neither_list() -> None:
    search = SilentSearch(block(8))
    search_through(search, {7}, frozenset({0, 3}))
    assert addresses(search.fine) == {1, 2, 4, 5, 6}
    assert addresses(search.silent) == {7}


@given(st.integers(2, 40), st.data())
def test_no_tag_is_lost_and_none_that_is_silent_is_called_fine(n: int, data: st.DataObject) -> None:
    silent = set(data.draw(st.sets(st.integers(0, n - 1), min_size=1)))
    search = SilentSearch(block(n))
    search_through(search, silent)
    assert addresses(search.fine) | addresses(search.silent) == set(range(n))
    assert not addresses(search.fine) & (silent | addresses(search.silent))
    assert all(one.tags[0].address in silent and one.tags[-1].address in silent for one in search.silent)
