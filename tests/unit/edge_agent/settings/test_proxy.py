"""The proxy in a site's file: [central.proxy], what a mistake is called, and where the password comes from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cloud_sync.errors import CredentialsError
from cloud_sync.transports.proxies.choice import DIRECT
from edge_agent.delivery.central_connection import connection_of
from edge_agent.errors import ConfigurationError
from edge_agent.settings import Settings
from edge_agent.settings.load import load_settings
from edge_agent.status.proxy import describe_proxy
from tests.unit.edge_agent.settings.test_gateway import HEAD, PLC, line_with

SECRET = "s3cret-of-the-proxy"  # noqa: S105 -- nobody's
PROXY = '\n[central.proxy]\nurl = "http://10.0.0.1:3128"\n'
SIGNED = PROXY + 'username = "gw"\npassword_file = "proxy-password"\n'


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.upper().endswith("_PROXY")]:
        monkeypatch.delenv(name)
    return tmp_path / "edge.toml"


def load(site: Path, text: str) -> Settings:
    site.write_text(HEAD + text + PLC, encoding="utf-8")
    return load_settings(site)


def test_a_proxy_with_a_password_of_its_own_file(site: Path):
    site.with_name("proxy-password").write_text(SECRET + "\n")
    settings = load(site, SIGNED + 'no_proxy = [".plant", "10.0.0.0/8"]\n')
    choice = connection_of(settings.central).proxy
    proxy = choice.proxy_for("https", "central.example.com", 443)
    assert proxy is not None
    assert (proxy.where, proxy.username, proxy.password) == ("http://10.0.0.1:3128", "gw", SECRET)
    assert choice.proxy_for("https", "central.plant", 443) is None
    assert SECRET not in repr(settings) + repr(connection_of(settings.central)) + str(describe_proxy(settings.central))
    assert describe_proxy(settings.central) == {"url": "http://10.0.0.1:3128", "from": "central.proxy.url"}


def test_none_uses_no_proxy_whatever_the_environment_says(site: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://10.0.0.2:3128")
    settings = load(site, '[central.proxy]\nurl = "none"\n')
    assert connection_of(settings.central).proxy == DIRECT
    assert describe_proxy(settings.central) is None
    settings = load(site, "")
    assert describe_proxy(settings.central) == {"url": "http://10.0.0.2:3128", "from": "HTTPS_PROXY"}
    settings = load(site, PROXY)
    assert describe_proxy(settings.central) == {"url": "http://10.0.0.1:3128", "from": "central.proxy.url"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[central.proxy]\n", "central.proxy.url: is missing"),
        (PROXY.replace("http:", "ftp:"), "ftp:// is no kind of proxy"),
        (PROXY.replace("http://", ""), "begins with http://"),
        (PROXY.replace("3128", "abc"), "no port from 1 to 65535"),
        (PROXY.replace("10.0.0.1", "corp proxy"), "blank"),
        (PROXY.replace("10.0.0.1", f"gw:{SECRET}@10.0.0.1"), "do not belong here"),
        (PROXY.replace("3128", "3128/path"), "goes on after the address"),
        (PROXY + 'password_file = "p"\n', "needs a username"),
        (PROXY + f'password = "{SECRET}"\n', "there is no such setting"),
        (PROXY + 'no_proxy = ["http://central"]\n', "is no host, domain, address or network"),
        (PROXY + 'ca_file = "ca.pem"\n', "begins with https://"),
        ('[central.proxy]\nurl = "none"\nusername = "gw"\n', "has no use"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_shows_no_secret(site: Path, text: str, said: str):
    with pytest.raises(ConfigurationError) as caught:
        load(site, text)
    assert said in caught.value.message
    assert SECRET not in caught.value.message
    line = int(caught.value.message.split(":")[1])
    assert line_with(site.read_text(), "[central.proxy]") <= line < line_with(site.read_text(), "[[sources]]")


def test_a_password_that_cannot_be_read_is_a_failure_of_the_link(site: Path, monkeypatch: pytest.MonkeyPatch):
    settings = load(site, SIGNED)
    with pytest.raises(CredentialsError, match=r"no password for the proxy's user 'gw': .* does not exist"):
        connection_of(settings.central)
    credentials = site.with_name("credentials")
    credentials.mkdir()
    (credentials / "central-proxy-password").write_text(SECRET)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    assert connection_of(settings.central).proxy.proxy is not None
    site.with_name("proxy-password").write_text("two\nlines\n")
    with pytest.raises(CredentialsError, match="does not hold a password"):
        connection_of(settings.central)


def test_a_malformed_variable_leaves_status_without_a_proxy(site: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTPS_PROXY", "ftp://corp")
    assert describe_proxy(load(site, "").central) is None
