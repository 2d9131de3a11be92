"""docs/how-to/add-a-feature.md, carried out: the page's package is installed, and no file of ours is touched."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from docs.feature_reference import section
from edge_agent.bundles.manifest import FeatureEntry, FeatureSpecEntry
from edge_agent.cli.validate import validate_file
from edge_agent.dsp.catalog import CATALOG, FeatureCatalog, build_extractor, feature_ids
from edge_agent.dsp.installed_families import GROUP, load_installed
from edge_agent.errors import SignalError
from edge_agent.settings.load import load_settings
from tests.support.installed_package import installed
from tests.unit.edge_agent.pipeline.condition.test_line import Plant, rows

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "add-a-feature.md"
SITE = """
[gateway]
id = "gw-1"
site = "test"
state_dir = "state"
runtime_dir = "run"
[central]
url = "https://central.example.com"
api_key_file = "key"
[[sources]]
type = "synthetic"
name = "rig"
asset = "rig-1"
sample_rate_hz = 2048
channels = [{ point = "x" }]
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


FAMILY, PAGES_TEST = blocks("python")
ENTRY_POINTS = tomllib.loads(blocks("toml")[0])["project"]["entry-points"]
INDICATOR = blocks("toml")[1]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    assert list(ENTRY_POINTS) == [GROUP]
    monkeypatch.setattr(CATALOG, "_installed", {})
    with installed(tmp_path / "site-packages", {"teager.py": FAMILY}, ENTRY_POINTS[GROUP], group=GROUP):
        yield


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    file = tmp_path / "edge.toml"
    file.write_text(SITE + INDICATOR, encoding="utf-8")
    return file


@pytest.mark.usefixtures("package")
def test_the_pages_own_test_passes() -> None:
    names: dict[str, object] = {}
    exec(PAGES_TEST, names)  # noqa: S102 - the page's own code
    (test,) = [value for name, value in names.items() if name.startswith("test_")]
    test()


@pytest.mark.usefixtures("package")
def test_validate_takes_it_as_an_indicator(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate_file(site, as_json=True) == 0, capsys.readouterr().out
    assert json.loads(capsys.readouterr().out)["errors"] == []
    assert load_settings(site).waveform_sources[0].indicators[0].family == "teager"


@pytest.mark.usefixtures("package")
def test_an_indicator_writes_its_rows_mean_and_highest() -> None:
    plant = Plant(tomllib.loads(INDICATOR)["sources"]["indicators"][0])
    records = [record for amplitude in (1, 1, 2) for record in plant.second(hz=25.0, amplitude=amplitude)]
    energy = np.sin(2 * np.pi * 25.0 / 5_000) ** 2
    (mean, *_), (highest, *_) = rows(records, "rig-1.x.teager_energy"), rows(records, "rig-1.x.teager_energy_max")
    assert mean.value == pytest.approx(energy, rel=1e-2)
    assert highest.value == pytest.approx(energy, rel=1e-2)
    assert mean.series.metadata["family"] == "teager"


@pytest.mark.usefixtures("package")
def test_documentation_and_a_bundles_features_know_it() -> None:
    written = section(CATALOG.family("teager"))
    assert written.startswith("## Teager-Kaiser energy: `teager`")
    assert "| `teager_energy` | 1 | signal^2 | mean of x[i]^2" in written
    (feature,) = feature_ids("teager")
    entry = FeatureSpecEntry(
        extractor="teager", features=(FeatureEntry(name=feature.name, version=1, unit=feature.unit),),
        sample_rate_hz=1_000.0, window_samples=500, hop_samples=500, parameters={},
    )  # fmt: skip
    assert build_extractor(entry.to_spec()).features == (feature,)


def test_without_the_package_it_is_refused_by_name(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate_file(site, as_json=True) == 3
    (error,) = json.loads(capsys.readouterr().out)["errors"]
    assert "sources 'rig', indicator 1 (teager): this agent has no feature family teager" in error


@pytest.mark.parametrize(
    ("module", "entry", "message"),
    [
        ("raise RuntimeError('no licence')", "bad:FAMILY", "cannot be loaded: RuntimeError: no licence"),
        ("import sys; sys.exit(3)", "bad:FAMILY", "cannot be loaded: SystemExit: 3"),
        ("x = 1", "bad:FAMILY", "cannot be loaded: AttributeError"),
        ("FAMILY = 1", "bad:FAMILY", "bad:FAMILY is a int, not a FeatureFamily"),
        (FAMILY, "bad:FAMILY", "calls itself teager"),
        (
            FAMILY.replace('"teager_energy",)', '"loudness",)'),
            "bad:FAMILY",
            "ValueError: teager has no feature loudness",
        ),
    ],
    ids=["raises", "exits", "absent", "no-family", "another-name", "contradicts-itself"],
)
def test_a_package_that_does_not_keep_its_promise_is_one_sentence(
    tmp_path: Path, module: str, entry: str, message: str
) -> None:
    catalog = FeatureCatalog(load=load_installed)
    with (
        installed(tmp_path, {"bad.py": module}, {"bad": entry}, group=GROUP, package="example"),
        pytest.raises(SignalError, match=re.escape(message)) as refused,
    ):
        catalog.family("bad")
    assert str(refused.value).startswith("the feature family bad of the package example")
    assert refused.value.hint


def test_two_packages_that_offer_one_family_are_both_named(tmp_path: Path) -> None:
    with (
        installed(tmp_path / "a", {"a.py": FAMILY}, {"teager": "a:FAMILY"}, group=GROUP, package="first"),
        installed(tmp_path / "b", {"b.py": FAMILY}, {"teager": "b:FAMILY"}, group=GROUP, package="second"),
        pytest.raises(SignalError, match="teager is offered by first and second"),
    ):
        FeatureCatalog(load=load_installed).family("teager")
