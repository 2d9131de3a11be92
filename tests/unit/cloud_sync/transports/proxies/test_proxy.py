"""What the URL of a proxy may be, and that no message shows a part of it that may be a password."""

from __future__ import annotations

import pytest

from cloud_sync.transports.proxies.proxy import Proxy, parse_proxy

SECRET = "hunter2"  # noqa: S105 (nobody's)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("http://10.0.0.1:3128", "http://10.0.0.1:3128"),
        ("proxy.corp:3128", "http://proxy.corp:3128"),
        ("HTTP://proxy.corp", "http://proxy.corp:80"),
        ("http://proxy.corp:3128/", "http://proxy.corp:3128"),
        ("https://proxy.corp", "https://proxy.corp:443"),
        ("socks5://proxy.corp", "socks5://proxy.corp:1080"),
        ("socks5h://[fd00::1]:1081", "socks5h://[fd00::1]:1081"),
    ],
)
def test_a_proxy_is_named_by_its_address(text: str, where: str):
    assert parse_proxy(text, source="HTTPS_PROXY").where == where


def test_user_and_password_are_unquoted_and_shown_nowhere():
    proxy = parse_proxy(f"http://plant%5Cgw:{SECRET}%40%3A@proxy:3128", source="HTTPS_PROXY")
    assert (proxy.username, proxy.password) == ("plant\\gw", SECRET + "@:")
    assert SECRET not in f"{proxy!r} {proxy} {proxy.in_words} {proxy.where} {proxy.sign_in_hint}"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"ftp://u:{SECRET}@127.0.0.1:1", "ftp://"),
        (f"socks4://u:{SECRET}@127.0.0.1:1", "socks4://"),
        (f"http://corp {SECRET}:8080", "blank"),
        (f"http://u:{SECRET}@corp:abc", "no port"),
        (f"http://gateway:{SECRET}", "no port"),  # the @ was forgotten
        (f"http://u:{SECRET}@corp:0", "no port"),
        (f"http://u:{SECRET}@corp:65536", "no port"),
        (f"http://u:{SECRET}@[::1", "no host"),
        (f"http://u:{SECRET}@", "no host"),
        ("", "no host"),
        (f"http://corp:80/{SECRET}", "goes on"),
        (f"http://corp:80?{SECRET}", "goes on"),
        (f"\udcff{SECRET}", "character"),
        (f"socks5://{'u' * 256}:{SECRET}@corp", "longer than 255"),
        (f"http://a%3Ab:{SECRET}@corp", "colon"),
    ],
)
def test_what_is_no_proxy_is_said_without_showing_it(text: str, why: str):
    with pytest.raises(ValueError, match=why) as caught:
        parse_proxy(text, source="HTTPS_PROXY")
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_basic_authentication_is_that_of_rfc_7617():
    assert Proxy("http", "p", 1, "Aladdin", "open sesame").basic() == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert Proxy("http", "p", 1).basic() is None
