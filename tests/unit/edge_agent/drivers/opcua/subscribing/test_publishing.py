"""Publish requests are with the server for as long as there is a subscription; every end of it is said."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

from asyncua import ua
from asyncua.ua.uaerrors import UaStructParsingError

from edge_agent.drivers.opcua.subscribing.publishing import AHEAD, Publishing

DEADLINE_S = 10.0


ANSWERED = datetime(2026, 5, 1, 6, tzinfo=UTC)
NO_TIME = datetime(1601, 1, 1, tzinfo=UTC)


def message(number: int, subscription: int = 7, at: datetime | None = ANSWERED):
    return SimpleNamespace(
        ResponseHeader=SimpleNamespace(Timestamp=ANSWERED),
        Parameters=SimpleNamespace(
            SubscriptionId=subscription,
            NotificationMessage=SimpleNamespace(SequenceNumber=number, PublishTime=at),
        ),
    )


def status(code: int) -> ua.UaStatusCodeError:
    return ua.UaStatusCodeError(code)


class Session:
    """Answers each publish request with the next of the answers, and later ones never."""

    def __init__(self, answers) -> None:
        self.acknowledged: list[int] = []
        self.n_open = 0
        self.most_open = 0
        self.answers = list(answers)

    async def publish(self, confirmed):
        self.acknowledged += [each.SequenceNumber for each in confirmed]
        self.n_open += 1
        self.most_open = max(self.most_open, self.n_open)
        try:
            await asyncio.sleep(0)
            if not self.answers:
                await asyncio.Event().wait()
            answer = self.answers.pop(0)
        finally:
            self.n_open -= 1
        if isinstance(answer, Exception):
            raise answer
        return answer


class Bench:
    def __init__(self, *answers) -> None:
        self.session = Session(answers)
        self.heard: list[object] = []
        self.sent: list[datetime] = []
        client = SimpleNamespace(uaclient=SimpleNamespace(session=self.session))
        self.publishing = Publishing(
            client, ("pump", "opc.tcp://h:1"), take=self._take, none_left=self._none_left, lost=self._lost
        )

    async def _take(self, result) -> bool:
        self.heard.append(result.NotificationMessage.SequenceNumber)
        self.sent.append(result.NotificationMessage.PublishTime)
        return True

    async def _none_left(self, reason: str) -> None:
        self.heard.append("none left")

    async def _lost(self, reason: str) -> None:
        self.heard.append("lost")

    async def run(self, n_heard: int) -> list[object]:
        """Run until so much was heard."""
        self.publishing.go_on(1)
        running = asyncio.create_task(self.publishing.run())
        async with asyncio.timeout(DEADLINE_S):
            while len(self.heard) < n_heard or (self.session.answers and not running.done()):
                await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait({running})
        return self.heard


async def test_answers_are_handed_on_in_order_and_acknowledged_with_the_next_request():
    bench = Bench(*(message(number) for number in range(1, 6)))
    assert await bench.run(5) == [1, 2, 3, 4, 5]
    assert bench.session.acknowledged[:3] == [1, 2, 3]
    assert bench.session.most_open == AHEAD


async def test_a_message_without_a_time_was_sent_when_its_answer_was():
    earlier = ANSWERED - timedelta(seconds=1)
    bench = Bench(message(1, at=earlier), message(2, at=NO_TIME), message(3, at=None))
    await bench.run(3)
    assert bench.sent == [earlier, ANSWERED, ANSWERED]


async def test_nothing_is_left_open_after_a_cancellation():
    bench = Bench(message(1))
    await bench.run(1)
    assert bench.session.n_open == 0


async def test_a_request_that_timed_out_or_could_not_be_read_is_asked_again():
    bench = Bench(status(ua.StatusCodes.BadTimeout), UaStructParsingError(), message(1))
    assert await bench.run(1) == [1]


async def test_a_server_that_takes_fewer_requests_gets_fewer():
    bench = Bench(status(ua.StatusCodes.BadTooManyPublishRequests), message(1), message(2))
    assert await bench.run(2) == [1, 2]


async def test_a_session_without_subscriptions_is_said_once_and_not_asked_again():
    gone = status(ua.StatusCodes.BadNoSubscription)
    bench = Bench(gone, gone)
    assert await bench.run(1) == ["none left"]
    assert bench.session.n_open == 0


async def test_what_was_asked_before_a_pause_does_not_say_that_nothing_is_left():
    bench = Bench(message(1))
    running = asyncio.create_task(bench.publishing.run())
    bench.publishing.go_on(1)
    async with asyncio.timeout(DEADLINE_S):
        while not bench.session.n_open:
            await asyncio.sleep(0)
        bench.publishing.pause()
        bench.session.answers += [status(ua.StatusCodes.BadNoSubscription)]
        while bench.session.n_open > 1 or bench.session.answers:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert "none left" not in bench.heard
    running.cancel()
    await asyncio.wait({running})


async def test_every_other_error_is_a_lost_session():
    for error in (status(ua.StatusCodes.BadSessionClosed), ConnectionError("gone"), ValueError("no such enumeration")):
        assert await Bench(error).run(1) == ["lost"]
