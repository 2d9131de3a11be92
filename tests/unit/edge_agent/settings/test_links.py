"""Several links to the central: their order, their ends, and which of them is metered."""

from __future__ import annotations

import pytest

from edge_agent.settings import CentralSettings, LinkSettings

URL = "https://central.example"
ETHERNET = {"name": "ethernet", "interface": "eth0"}
LTE = {"name": "lte", "interface": "wwan0", "metered": True}


def central(*links: dict[str, object], **others: object) -> CentralSettings:
    return CentralSettings.model_validate({"url": URL, "links": links, **others})


def test_links_keep_their_order():
    found = central(ETHERNET, {**LTE, "metered": False})
    assert [link.name for link in found.links] == ["ethernet", "lte"]


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ({"name": "lte"}, "interface or a source_address"),
        ({"name": "lte", "source_address": "eth0"}, "no IP address"),
        ({"name": "lte", "source_address": "0.0.0.0"}, "no address that one link"),
        ({"name": "lte", "interface": "a-name-of-sixteen"}, "interface"),
        ({"name": "lte", "interface": ""}, "interface"),
    ],
)
def test_a_link_without_an_end_that_a_box_can_have_is_refused(link: dict[str, object], words: str):
    with pytest.raises(ValueError, match=words):
        LinkSettings.model_validate(link)


def test_two_links_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two links are called 'ethernet'"):
        central(ETHERNET, ETHERNET)


def test_a_link_is_not_metered_for_nothing():
    with pytest.raises(ValueError, match="'lte': metered = true has no use"):
        central(ETHERNET, LTE)


def test_the_budget_is_about_the_link_that_says_so_and_about_all_when_none_does():
    found = central(ETHERNET, LTE, budget={"bytes_per_month": 10**8})
    assert [found.is_metered(link) for link in found.links] == [False, True]
    assert not found.is_metered(None)
    assert central(ETHERNET, budget={"bytes_per_month": 10**8}).is_metered(None)
