"""Whether a device that did not answer one request is there at all: one more question, well chosen. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from edge_agent.drivers.modbus.plan import RegisterBlock, block_of


class Liveness:
    """What is known of a device's being there. A request that it answered last is the best question.

    When none was answered since it was lost, each attempt begins with another request, and asks another one or one of
    its tags alone after it: a device that answers only some of them is found in the end.
    """

    def __init__(self) -> None:
        self.attempt = 0
        self._answered: RegisterBlock | None = None

    def answered(self, block: RegisterBlock) -> None:
        """Take that the device answered this."""
        self._answered = block
        self.attempt = 0

    def lost(self) -> None:
        """Take that the device answered nothing."""
        self._answered = None
        self.attempt += 1

    def in_turn(self, n_requests: int) -> int:
        """Return which of so many requests to begin a pass with."""
        return self.attempt // 2 % n_requests

    def question_after(self, silent: RegisterBlock, requests: Sequence[RegisterBlock]) -> RegisterBlock:
        """Return what to ask when `silent` was not answered; `requests` are all that are made of the device."""
        if self._answered is not None:
            return self._answered
        others = [block for block in requests if block is not silent]
        others = [block for block in others if block.table != silent.table] or others
        turn = self.attempt // 2 if others else self.attempt
        if others and not self.attempt % 2:
            return others[turn % len(others)]
        if len(silent.tags) < 2:
            return silent
        return block_of([silent.tags[_spread(turn // max(1, len(requests)), len(silent.tags))]])


def _spread(turn: int, n: int) -> int:
    """Return a place among `n`, spread evenly over the turns: the first, the middle, the quarters, the eighths ..."""
    turn %= 2 * n
    place, step = 0.0, 0.5
    while turn:
        place += step * (turn & 1)
        turn >>= 1
        step /= 2
    return int(place * n)
