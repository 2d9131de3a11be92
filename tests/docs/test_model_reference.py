"""models_onnx/README.md is what the manifests say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from docs import model_reference


def test_the_page_of_bundles_is_that_of_the_manifests() -> None:
    written = (model_reference.MODELS / "README.md").read_text(encoding="utf-8")
    assert written == model_reference.render(), "run `python -m docs.model_reference > models_onnx/README.md`"


def test_every_champion_has_a_headline_and_a_row() -> None:
    names = {one.bundle.manifest.name for one in model_reference.champions()}
    assert names == set(model_reference.HEADLINES)
    page = model_reference.render()
    assert all(f"| `{name}` |" in page and f"## `{name}`" in page for name in names)


def test_a_changed_figure_changes_the_page() -> None:
    (first, *_) = model_reference.champions()
    manifest = first.bundle.manifest
    metrics = {name: value + 0.125 for name, value in manifest.metrics.items()}
    bundle = replace(first.bundle, manifest=manifest.model_copy(update={"metrics": metrics}))
    assert model_reference.render([replace(first, bundle=bundle)]) != model_reference.render([first])


def test_a_bundle_without_a_headline_is_not_passed_over() -> None:
    (first, *_) = model_reference.champions()
    manifest = first.bundle.manifest.model_copy(update={"name": "newcomer"})
    with pytest.raises(KeyError, match="newcomer"):
        model_reference.render([replace(first, bundle=replace(first.bundle, manifest=manifest))])
