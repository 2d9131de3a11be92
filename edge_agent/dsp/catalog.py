"""Every formula this agent computes: by family, name and version, each once.

A model names the formulas it was trained on. What is not here, or is here in another version, is refused by name:
a changed formula is a new version, never an edit, because a model was trained on the old one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from edge_agent.core.features import FeatureId, FeatureSpec
from edge_agent.dsp.families import (
    calendar_terms,
    envelope,
    log_mel,
    mfcc,
    orders,
    spectral_kurtosis,
    spectrum,
    tag_forecast,
    tag_history,
    time_domain,
    two_axes,
    velocity,
    vibration,
)
from edge_agent.dsp.families.calendar_terms import CalendarExtractor
from edge_agent.dsp.families.envelope import EnvelopeExtractor
from edge_agent.dsp.families.log_mel import LogMelExtractor
from edge_agent.dsp.families.mfcc import MfccMeanExtractor
from edge_agent.dsp.families.orders import OrderExtractor
from edge_agent.dsp.families.snapshot import SnapshotExtractor
from edge_agent.dsp.families.spectral_kurtosis import SpectralKurtosisExtractor
from edge_agent.dsp.families.spectrum import SpectrumExtractor
from edge_agent.dsp.families.tag_forecast import TagForecastExtractor
from edge_agent.dsp.families.tag_history import TagHistoryExtractor
from edge_agent.dsp.families.time_domain import TimeDomainExtractor
from edge_agent.dsp.families.two_axes import TwoAxisExtractor
from edge_agent.dsp.families.velocity import VelocityExtractor
from edge_agent.dsp.families.vibration import VibrationExtractor
from edge_agent.dsp.family_base.family import Extracted, Extractor, Formula
from edge_agent.errors import SignalError

__all__ = ["CATALOG", "Extracted", "Extractor", "FeatureCatalog", "Formula", "build_extractor", "feature_ids"]


class FeatureCatalog:
    """Formulas by family, and how each family's extractor is built."""

    def __init__(self) -> None:
        self._builders: dict[str, Callable[[FeatureSpec], Extractor]] = {}
        self._formulas: dict[str, dict[tuple[str, int], Formula]] = {}
        self._free_names: set[str] = set()

    def add_family(
        self, family: str, build: Callable[[FeatureSpec], Extractor], *, has_free_names: bool = False
    ) -> None:
        """Raises ValueError if the family is known. With free names any name is a feature, in version 1."""
        if family in self._builders:
            raise ValueError(f"family {family} is registered already")
        self._builders[family] = build
        self._formulas[family] = {}
        if has_free_names:
            self._free_names.add(family)

    def add(self, formula: Formula) -> None:
        """Raises ValueError if this family has this name in this version already."""
        known = self._formulas[formula.family]
        key = (formula.name, formula.version)
        if key in known:
            raise ValueError(f"{formula.family}.{formula.name} version {formula.version} is registered already")
        known[key] = formula

    @property
    def families(self) -> tuple[str, ...]:
        return tuple(self._builders)

    def formulas(self, family: str) -> tuple[Formula, ...]:
        """In order of registration. Raises SignalError for an unknown family."""
        self._check_family(family)
        return tuple(self._formulas[family].values())

    def build(self, spec: FeatureSpec) -> Extractor:
        """The extractor a model asks for. Raises SignalError naming the family, feature or version we do not have."""
        self._check_family(spec.extractor)
        if not spec.features:
            raise SignalError(f"the {spec.extractor} spec names no features")
        for feature in spec.features:
            self._check_feature(spec.extractor, feature)
        return self._builders[spec.extractor](spec)

    def _check_family(self, family: str) -> None:
        if family not in self._builders:
            raise SignalError(
                f"this agent has no feature family {family}",
                hint=f"known families: {', '.join(self._builders)}; a newer agent may have it",
            )

    def _check_feature(self, family: str, wanted: FeatureId) -> None:
        if family in self._free_names:
            versions = [1]
        else:
            versions = [version for name, version in self._formulas[family] if name == wanted.name]
        if not versions:
            raise SignalError(f"this agent has no feature {wanted.name} in the family {family}")
        if wanted.version not in versions:
            ours = ", ".join(str(version) for version in sorted(versions))
            raise SignalError(
                f"this agent computes {wanted.name} version {ours}; the model wants version {wanted.version}",
                hint="use a bundle that was trained on this version, or another version of the agent",
            )


def _built_in() -> FeatureCatalog:
    catalog = FeatureCatalog()
    catalog.add_family("vibration", VibrationExtractor)
    catalog.add_family("tag_snapshot", SnapshotExtractor, has_free_names=True)
    catalog.add_family("mfcc_mean", MfccMeanExtractor)
    catalog.add_family("velocity", VelocityExtractor)
    catalog.add_family("envelope", EnvelopeExtractor)
    catalog.add_family("spectral_kurtosis", SpectralKurtosisExtractor)
    catalog.add_family("orders", OrderExtractor)
    for formula in (*envelope.FORMULAS, *spectral_kurtosis.FORMULAS, *orders.FORMULAS):
        catalog.add(formula)
    catalog.add_family(log_mel.FAMILY, LogMelExtractor)
    for formulas in (vibration.FORMULAS, mfcc.FORMULAS, velocity.FORMULAS, log_mel.FORMULAS):
        for formula in formulas:
            catalog.add(formula)
    catalog.add_family("time_domain", TimeDomainExtractor)
    catalog.add_family("spectrum", SpectrumExtractor)
    for formula in (*time_domain.FORMULAS, *spectrum.FORMULAS):
        catalog.add(formula)
    catalog.add_family(tag_history.FAMILY, TagHistoryExtractor)
    catalog.add_family(tag_forecast.FAMILY, TagForecastExtractor)
    catalog.add_family(calendar_terms.FAMILY, CalendarExtractor)
    for formula in (*tag_history.FORMULAS, *tag_forecast.FORMULAS, *calendar_terms.FORMULAS):
        catalog.add(formula)
    catalog.add_family(two_axes.FAMILY, TwoAxisExtractor)
    for formula in two_axes.FORMULAS:
        catalog.add(formula)
    return catalog


CATALOG: Final = _built_in()
"""What this agent computes."""


def build_extractor(spec: FeatureSpec) -> Extractor:
    """The extractor for a model's input. Raises SignalError naming what this agent does not have."""
    return CATALOG.build(spec)


def feature_ids(family: str, *names: str) -> tuple[FeatureId, ...]:
    """The newest version of these features, in this order; of all of the family when none is named.

    Raises SignalError for an unknown family or name.
    """
    newest = {formula.name: formula for formula in sorted(CATALOG.formulas(family), key=lambda f: f.version)}
    unknown = [name for name in names if name not in newest]
    if unknown:
        raise SignalError(f"this agent has no feature {', '.join(unknown)} in the family {family}")
    in_order = names or tuple(dict.fromkeys(formula.name for formula in CATALOG.formulas(family)))
    return tuple(newest[name].feature_id for name in in_order)
