"""So many operations in a call as the server takes, stated or learned; every result belongs to its operation."""

from __future__ import annotations

import pytest
from asyncua import ua

from edge_agent.drivers.opcua.server_limits import MOST_PER_CALL, CallSize


class Service:
    """Doubles each item; refuses more than `most` in a call."""

    def __init__(self, most: int, code: int = ua.StatusCodes.BadTooManyOperations) -> None:
        self.sizes: list[int] = []
        self._most = most
        self._code = code

    async def call(self, part):
        self.sizes.append(len(part))
        if len(part) > self._most:
            raise ua.UaStatusCodeError(self._code)
        return [2 * each for each in part]


async def test_a_stated_limit_is_kept_to():
    service = Service(100)
    assert await CallSize(100).each(range(250), service.call) == [2 * each for each in range(250)]
    assert service.sizes == [100, 100, 50]


@pytest.mark.parametrize("code", [ua.StatusCodes.BadTooManyOperations, ua.StatusCodes.BadResponseTooLarge])
async def test_a_limit_that_is_not_stated_is_learned_and_kept(code):
    service, size = Service(30, code), CallSize(None)
    assert await size.each(range(100), service.call) == [2 * each for each in range(100)]
    assert service.sizes[:3] == [100, 50, 25]
    service.sizes.clear()
    await size.each(range(50), service.call)
    assert service.sizes == [25, 25]


async def test_without_a_limit_a_call_is_bounded_all_the_same():
    service = Service(10**9)
    await CallSize(None).each(range(2 * MOST_PER_CALL + 1), service.call)
    assert service.sizes == [MOST_PER_CALL, MOST_PER_CALL, 1]


async def test_one_operation_that_is_too_many_is_an_error():
    with pytest.raises(ua.UaStatusCodeError):
        await CallSize(None).each(range(4), Service(0).call)


async def test_another_error_is_not_taken_for_a_limit():
    service = Service(0, ua.StatusCodes.BadSessionIdInvalid)
    with pytest.raises(ua.UaStatusCodeError):
        await CallSize(None).each(range(4), service.call)
    assert service.sizes == [4]


@pytest.mark.parametrize("answered", [None, [1], [1, 2, 3]])
async def test_results_that_are_not_as_many_as_operations_are_refused(answered):
    async def call(part):
        return answered

    with pytest.raises(ValueError, match="for 2 operations"):
        await CallSize(None).each([1, 2], call)
