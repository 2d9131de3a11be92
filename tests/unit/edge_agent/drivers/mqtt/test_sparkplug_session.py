"""Births, data and deaths of an edge node."""

from __future__ import annotations

import pytest

from edge_agent.drivers.mqtt.sparkplug_payload import Metric, Payload
from edge_agent.drivers.mqtt.sparkplug_session import EdgeNode, Topic, Update, filter_of, topic_of


def metric(name: str | None, value: float | int, *, alias: int | None = None) -> Metric:
    return Metric(name, alias, None, value, is_null=False, is_historical=False)


def take(node: EdgeNode, kind: str, seq: int | None, *metrics: Metric, device: str | None = None) -> Update:
    return node.take(Topic("plant", kind, "edge", device), Payload(seq, metrics))


def values(update: Update) -> list[tuple[str, str, object]]:
    return [(address, name, each.value) for address, name, each in update.values]


def test_aliases_mean_what_the_birth_certificate_says() -> None:
    node = EdgeNode()
    assert values(take(node, "NBIRTH", 0, metric("speed", 1.0, alias=7))) == [("plant/edge", "speed", 1.0)]
    assert values(take(node, "NDATA", 1, metric(None, 2.0, alias=7))) == [("plant/edge", "speed", 2.0)]
    assert values(take(node, "DBIRTH", 2, metric("speed", 3.0, alias=8), device="d")) == [
        ("plant/edge/d", "speed", 3.0)
    ]
    assert values(take(node, "DDATA", 3, metric(None, 4.0, alias=8), device="d")) == [("plant/edge/d", "speed", 4.0)]


def test_an_alias_without_a_birth_is_counted_and_no_value() -> None:
    node = EdgeNode()
    assert take(node, "NDATA", 5, metric(None, 2.0, alias=7)).values == ()
    assert node.unknown_aliases_total == 1
    assert values(take(node, "NDATA", 6, metric("speed", 2.0))) == [("plant/edge", "speed", 2.0)]


def test_several_values_of_one_metric_in_a_message_are_all_kept() -> None:
    node = EdgeNode()
    take(node, "NBIRTH", 0)
    update = take(node, "NDATA", 1, metric("speed", 1.0), metric("speed", 2.0))
    assert [value for _, _, value in values(update)] == [1.0, 2.0]


def test_messages_that_never_came_are_counted_over_the_turn_of_the_number() -> None:
    node = EdgeNode()
    take(node, "NBIRTH", 254)
    assert take(node, "NDATA", 255).missed == 0
    assert take(node, "NDATA", 0).missed == 0
    assert take(node, "DDATA", 3, device="d").missed == 2


def test_an_address_that_died_is_dead_until_its_next_birth_also_when_its_birth_was_never_seen() -> None:
    node = EdgeNode()
    take(node, "DDEATH", 1, device="d")
    assert (node.alive, node.dead) == (set(), {"plant/edge/d"})
    take(node, "DBIRTH", 2, device="d")
    assert (node.alive, node.dead) == ({"plant/edge/d"}, set())


def test_a_death_ends_the_node_and_its_devices() -> None:
    node = EdgeNode()
    take(node, "NBIRTH", 0, metric("bdSeq", 4))
    take(node, "DBIRTH", 1, device="d")
    assert take(node, "DDEATH", 2, device="d").died == ("plant/edge/d",)
    take(node, "DBIRTH", 3, device="d")
    assert set(take(node, "NDEATH", None, metric("bdSeq", 4)).died) == {"plant/edge", "plant/edge/d"}
    assert node.alive == set()


def test_the_will_of_an_earlier_session_ends_nothing() -> None:
    node = EdgeNode()
    take(node, "NBIRTH", 0, metric("bdSeq", 5))
    assert take(node, "NDEATH", None, metric("bdSeq", 4)).died == ()
    assert node.alive == {"plant/edge"}


def test_a_new_birth_of_the_node_ends_its_devices_until_they_are_born_again() -> None:
    node = EdgeNode()
    take(node, "NBIRTH", 0)
    take(node, "DBIRTH", 1, metric("speed", 1.0, alias=1), device="d")
    assert take(node, "NBIRTH", 0).died == ("plant/edge/d",)
    assert take(node, "DDATA", 1, metric(None, 2.0, alias=1), device="d").values == ()


@pytest.mark.parametrize(
    ("text", "topic"),
    [
        ("spBv1.0/g/NDATA/n", Topic("g", "NDATA", "n", None)),
        ("spBv1.0/g/DBIRTH/n/d", Topic("g", "DBIRTH", "n", "d")),
        ("spBv1.0/g/DDATA/n", None),
        ("spBv1.0/g/NCMD/n", None),
        ("spBv1.0/STATE/host", None),
        ("other/g/NDATA/n", None),
    ],
)
def test_topics(text: str, topic: Topic | None) -> None:
    assert topic_of(text) == topic


def test_one_filter_has_all_that_a_node_publishes() -> None:
    assert filter_of("g/n") == filter_of("g/n/d") == "spBv1.0/g/+/n/#"
