"""Settings before the environment, lower case before upper case, the scheme's own variable before ALL_PROXY."""

from __future__ import annotations

import pytest

from cloud_sync.transports.proxies.bypass import parse_bypass
from cloud_sync.transports.proxies.choice import DIRECT, ProxyChoice
from cloud_sync.transports.proxies.proxy import Proxy
from cloud_sync.transports.steps import StepError

ALL = {
    "HTTPS_PROXY": "http://https:1", "https_proxy": "http://lower:1", "HTTP_PROXY": "http://http:1",
    "ALL_PROXY": "socks5://all:1",
}  # fmt: skip


def source(scheme: str, environment: dict[str, str], choice: ProxyChoice | None = None) -> str | None:
    proxy = (choice or ProxyChoice()).proxy_for(scheme, "central.plant", 443, environment)
    return None if proxy is None else f"{proxy.source} {proxy.host}"


def test_the_environment_is_read_as_other_programs_read_it():
    assert source("https", ALL) == "https_proxy lower"
    assert source("http", ALL) == "HTTP_PROXY http"
    assert source("wss", ALL) == "https_proxy lower"
    assert source("mqtts", ALL) == "ALL_PROXY all"
    assert source("https", {"ALL_PROXY": "socks5h://all"}) == "ALL_PROXY all"
    assert source("https", {"HTTP_PROXY": "http://http:1", "HTTPS_PROXY": " "}) is None
    assert source("https", {}) is None


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_no_proxy_takes_a_host_out(name: str):
    assert source("https", {**ALL, name: "localhost,.plant"}) is None
    assert source("https", {**ALL, name: "localhost"}) == "https_proxy lower"


def test_a_setting_wins_over_the_environment_altogether():
    mine = ProxyChoice(Proxy("http", "mine", 3128))
    assert source("https", {**ALL, "NO_PROXY": "*"}, mine) == "central.proxy.url mine"
    assert source("mqtts", ALL, mine) == "central.proxy.url mine"
    assert source("https", ALL, ProxyChoice(mine.proxy, parse_bypass([".plant"]))) is None
    assert source("https", ALL, DIRECT) is None


@pytest.mark.parametrize(
    ("scheme", "environment", "variable"),
    [
        ("https", {"HTTPS_PROXY": "ftp://127.0.0.1:1"}, "HTTPS_PROXY"),
        ("http", {"http_proxy": "http://secret:word@corp:abc"}, "http_proxy"),
        ("https", {"HTTPS_PROXY": "http://corp proxy:8080"}, "HTTPS_PROXY"),
        ("mqtts", {"ALL_PROXY": "http://corp:abc"}, "ALL_PROXY"),
        ("https", {"all_proxy": "\udcff"}, "all_proxy"),
        ("https", {"HTTPS_PROXY": "http://corp", "NO_PROXY": "[::1"}, "NO_PROXY"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(scheme: str, environment: dict[str, str], variable: str):
    with pytest.raises(StepError, match=f"environment variable {variable} cannot be used") as caught:
        source(scheme, environment)
    assert "word" not in caught.value.words
    assert caught.value.words.isprintable()


def test_a_variable_that_does_not_count_here_is_not_judged():
    assert source("https", {"HTTP_PROXY": "ftp://", "HTTPS_PROXY": "http://corp"}) == "HTTPS_PROXY corp"
    assert source("https", {"HTTPS_PROXY": "ftp://", "NO_PROXY": "*"}) is None
    assert source("https", {"NO_PROXY": "[::1"}) is None
