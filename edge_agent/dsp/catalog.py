"""Every feature family this agent has, and every formula by name and version, each once.

A model names the formulas it was trained on. What is not here, or is here in another version, is refused by name:
a changed formula is a new version, never an edit, because a model was trained on the old one.

A family that stands in another installed package is found by its entry point (`installed_families`) when a model or an
indicator asks for it by name; docs/how-to/add-a-feature.md shows both ways.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from edge_agent.core.features import FeatureId, FeatureSpec
from edge_agent.dsp.families import (
    calendar_terms,
    envelope,
    log_mel,
    mfcc,
    orders,
    snapshot,
    spectral_kurtosis,
    spectrum,
    tag_forecast,
    tag_history,
    time_domain,
    two_axes,
    velocity,
    vibration,
)
from edge_agent.dsp.family_base.family import Extracted, Extractor, FamilyInput, FeatureFamily, Formula
from edge_agent.dsp.installed_families import load_installed
from edge_agent.errors import SignalError

__all__ = ["CATALOG", "Extracted", "Extractor", "FeatureCatalog", "Formula", "build_extractor", "feature_ids"]


class FeatureCatalog:
    """Families by name. `load` finds one that nobody registered; it returns None when there is none either."""

    def __init__(
        self, families: Iterable[FeatureFamily] = (), *, load: Callable[[str], FeatureFamily | None] = lambda _: None
    ) -> None:
        self._families: dict[str, FeatureFamily] = {}
        self._load = load
        self._installed: dict[str, FeatureFamily] = {}
        for family in families:
            self.add(family)

    def add(self, family: FeatureFamily) -> None:
        """Register a family. Raises ValueError if its name is taken."""
        if family.name in self._families:
            raise ValueError(f"family {family.name} is registered already")
        self._families[family.name] = family

    @property
    def families(self) -> tuple[str, ...]:
        """Return the names of our own families, in order."""
        return tuple(self._families)

    def family(self, name: str) -> FeatureFamily:
        """Return a family. Raises SignalError for one that is neither registered nor installed, or does not load."""
        if (found := self._families.get(name) or self._installed.get(name) or self._load(name)) is None:
            raise SignalError(
                f"this agent has no feature family {name}",
                hint=f"known families: {', '.join(self._families)}; a newer agent may have it",
            )
        if name not in self._families:
            self._installed[name] = found
        return found

    def formulas(self, family: str) -> tuple[Formula, ...]:
        """Return a family's formulas, in its order. Raises SignalError for an unknown family."""
        return self.family(family).formulas

    def of_windows(self) -> tuple[str, ...]:
        """Return the names of our own families that are computed from windows of a waveform."""
        return tuple(name for name, family in self._families.items() if family.takes is FamilyInput.WINDOWS)

    def build(self, spec: FeatureSpec) -> Extractor:
        """Return the extractor a model asks for. Raises SignalError naming the family, feature or version we lack."""
        family = self.family(spec.extractor)
        if not spec.features:
            raise SignalError(f"the {spec.extractor} spec names no features")
        for feature in spec.features:
            _check_feature(family, feature)
        return family.build(spec)


def _check_feature(family: FeatureFamily, wanted: FeatureId) -> None:
    if family.has_free_names:
        versions = [1]
    else:
        versions = [formula.version for formula in family.formulas if formula.name == wanted.name]
    if not versions:
        raise SignalError(f"this agent has no feature {wanted.name} in the family {family.name}")
    if wanted.version not in versions:
        ours = ", ".join(str(version) for version in sorted(versions))
        raise SignalError(
            f"this agent computes {wanted.name} version {ours}; the model wants version {wanted.version}",
            hint="use a bundle that was trained on this version, or another version of the agent",
        )


CATALOG: Final = FeatureCatalog(
    (
        vibration.FAMILY,
        snapshot.FAMILY,
        mfcc.FAMILY,
        velocity.FAMILY,
        envelope.FAMILY,
        spectral_kurtosis.FAMILY,
        orders.FAMILY,
        log_mel.FAMILY,
        time_domain.FAMILY,
        spectrum.FAMILY,
        tag_history.FAMILY,
        tag_forecast.FAMILY,
        calendar_terms.FAMILY,
        two_axes.FAMILY,
    ),
    load=load_installed,
)
"""What this agent computes; the order is that of docs/FEATURES.md."""


def build_extractor(spec: FeatureSpec) -> Extractor:
    """Return the extractor for a model's input. Raises SignalError naming what this agent does not have."""
    return CATALOG.build(spec)


def feature_ids(family: str, *names: str) -> tuple[FeatureId, ...]:
    """Return the newest version of these features, in this order; of all of the family when none is named.

    Raises SignalError for an unknown family or name.
    """
    newest = {formula.name: formula for formula in sorted(CATALOG.formulas(family), key=lambda f: f.version)}
    unknown = [name for name in names if name not in newest]
    if unknown:
        raise SignalError(f"this agent has no feature {', '.join(unknown)} in the family {family}")
    in_order = names or tuple(dict.fromkeys(formula.name for formula in CATALOG.formulas(family)))
    return tuple(newest[name].feature_id for name in in_order)
