"""`edge-agent models` where no bundle is."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge_agent.cli.main import app
from edge_agent.errors import BundleError

SITE = """
[gateway]
id = "gw-1"
site = "plant"

[central]
url = "https://central.example.com"

[models]
dir = "bundles"

[[sources]]
type = "synthetic"
name = "formula"
asset = "rig-2"
sample_rate_hz = 20_480
frequency_hz = 29.7
amplitude = 0.1
channels = [{ point = "shaft" }]
"""


@pytest.mark.parametrize(("is_there", "said"), [(True, "bundles: no bundle"), (False, "there is no folder")])
def test_verifying_nothing_is_no_success(tmp_path: Path, is_there: bool, said: str) -> None:
    site = tmp_path / "edge.toml"
    site.write_text(SITE)
    if is_there:
        (tmp_path / "bundles").mkdir()
    done = CliRunner().invoke(app, ["models", "verify", "--config", str(site)])
    assert done.exit_code == 1
    assert isinstance(done.exception, BundleError)
    assert said in done.exception.message
    assert "models.dir" in done.exception.hint
