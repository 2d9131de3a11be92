"""From an indicator's settings to what is computed: bearing and machine group looked up, speeds and names settled.

Constraints
- Whatever cannot be computed is refused here by name, before a sample has come; only a rate that no setting knows has
  to wait for the first block.
- No two writers of one row: neither two indicators nor an indicator and the source's model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_agent.core.features import FeatureId, FeatureSpec
from edge_agent.dsp.catalog import CATALOG, build_extractor, feature_ids
from edge_agent.dsp.family_base.family import Extractor, FamilyInput, FeatureFamily, channels_per_row
from edge_agent.dsp.family_base.parameters import Parameters, Value
from edge_agent.dsp.machines.bearing import GEOMETRY_PARAMETERS, ORDER_PARAMETERS, FaultLine, line_of, orders_from
from edge_agent.dsp.machines.severity import SEVERITY, MachineGroup
from edge_agent.errors import ConfigurationError, FamilyError, SignalError
from edge_agent.reference_tables.read import BEARINGS_FILE, SEVERITY_ZONES_FILE, read_bearings, read_machine_groups
from edge_agent.settings import IndicatorSettings, TableSettings, WaveformSettings


@dataclass(frozen=True, slots=True, eq=False)
class Indicator:
    """What is computed of some channels of a source. `orders`: fault lines whose height above the background is."""

    settings: IndicatorSettings
    channels: tuple[int, ...]
    family: FeatureFamily
    features: tuple[FeatureId, ...]
    parameters: Mapping[str, Value]
    orders: Mapping[FaultLine, float]
    group: MachineGroup | None

    @property
    def label(self) -> str:
        """Return how it is called in texts and gaps."""
        return f"{self.settings.prefix}_{self.settings.family}" if self.settings.prefix else self.settings.family

    @property
    def hop_s(self) -> float:
        return self.settings.hop_s or self.settings.window_s

    def row_names(self) -> list[tuple[int, str, str]]:
        """Return feature number, row name below the point, and statistic, in the order of reporting."""
        prefix = f"{self.settings.prefix}_" if self.settings.prefix else ""
        rows = [(i, f"{prefix}{feature.name}", "mean") for i, feature in enumerate(self.features)]
        return rows + [
            (i, f"{prefix}{feature.name}_max", "max")
            for i, feature in enumerate(self.features)
            if feature.name in self.family.reports_max
        ]

    def spec(self, sample_rate_hz: float) -> FeatureSpec:
        return FeatureSpec(
            self.settings.family,
            self.features,
            sample_rate_hz,
            round(self.settings.window_s * sample_rate_hz),
            max(1, round(self.hop_s * sample_rate_hz)),
            self.parameters,
        )

    def extractor(self, sample_rate_hz: float) -> Extractor:
        """Build the extractor. Raises SignalError for a window, band or speed that cannot be at this rate."""
        extractor = build_extractor(self.spec(sample_rate_hz))
        if channels_per_row(extractor) != 1:
            raise SignalError(f"{self.settings.family} takes several channels at once, and an indicator takes one")
        return extractor


def indicators_of(
    source: WaveformSettings, tables: TableSettings, *, leave_out: Callable[[str, FamilyError], None] | None = None
) -> tuple[Indicator, ...]:
    """Return every indicator of a source, in order. Raises ConfigurationError naming what is wrong, and where.

    With `leave_out` one whose family's package cannot be used is handed to it, and the others are returned.
    """
    rate_hz = getattr(source, "sample_rate_hz", None)
    found = []
    for number, settings in enumerate(source.indicators, start=1):
        where = f"sources {source.name!r}, indicator {number} ({settings.family})"
        try:
            indicator = _indicator(source, settings, tables)
            if rate_hz is not None:
                indicator.extractor(rate_hz)
        except FamilyError as exc:
            if leave_out is None:
                raise ConfigurationError(f"{where}: {exc.message}", hint=exc.hint) from exc
            leave_out(where, exc)
            continue
        except SignalError as exc:
            raise ConfigurationError(f"{where}: {exc.message}", hint=exc.hint) from exc
        except ConfigurationError as exc:
            raise ConfigurationError(f"{where}: {exc.message}", hint=exc.hint, where=exc.where) from exc
        found.append(indicator)
    return tuple(found)


def check_rows(source: WaveformSettings, indicators: Iterable[Indicator], model_features: Iterable[str] = ()) -> None:
    """Raise ConfigurationError when two writers of one source would write the same row."""
    points = [channel.point for channel in source.channels]
    by_model = {*model_features, "score", "score_max"} if source.model else set()
    owner = {f"{source.asset}.{point}.{name}": f"the model {source.model}" for point in points for name in by_model}
    for number, indicator in enumerate(indicators, start=1):
        who = f"indicator {number} ({indicator.settings.family})"
        for channel in indicator.channels:
            for _, name, _ in indicator.row_names():
                row = f"{source.asset}.{points[channel]}.{name}"
                if row in owner:
                    raise ConfigurationError(
                        f"sources {source.name!r}: {owner[row]} and {who} both write {row}",
                        hint="give the indicator a prefix, other features or other points",
                    )
                owner[row] = who


def _indicator(source: WaveformSettings, settings: IndicatorSettings, tables: TableSettings) -> Indicator:
    family = _family(settings)
    group = _group(settings, tables)
    parameters = _parameters(source, family, settings, tables, group)
    orders = _orders(family, parameters)
    features = feature_ids(family.name, *_names(family, settings, orders))
    points = [channel.point for channel in source.channels]
    if group is not None and SEVERITY not in {feature.name for feature in features}:
        raise ConfigurationError(f"zones are those of {SEVERITY}, which is not among the features", hint="add it")
    wanted = {feature.name for feature in features}
    lines = {line: order for line, order in orders.items() if f"{line}_snr_db" in wanted}
    has_speed = settings.shaft_tag is not None or "shaft_hz" in parameters
    if wanted & family.speed_features and not has_speed:
        raise ConfigurationError("the shaft's speed is not given", hint="set shaft_hz, or shaft_tag with its scale")
    channels = tuple(points.index(point) for point in settings.points) or tuple(range(len(points)))
    return Indicator(settings, channels, family, features, parameters, lines, group)


def _family(settings: IndicatorSettings) -> FeatureFamily:
    """Return the family, of windows and with a use for what the settings give. Raises ConfigurationError."""
    known = CATALOG.of_windows()
    try:
        family = CATALOG.family(settings.family)
    except FamilyError:
        raise
    except SignalError as exc:
        raise ConfigurationError(exc.message, hint=f"known: {', '.join(known)}") from exc
    if family.takes is not FamilyInput.WINDOWS:
        raise ConfigurationError(f"{family.name} is no family of windows", hint=f"known: {', '.join(known)}")
    for given, takes_it in _CONVENIENCES.items():
        if getattr(settings, given) is not None and not takes_it(family):
            those = [name for name in known if takes_it(CATALOG.family(name))]
            raise ConfigurationError(
                f'{given} has no use for family = "{family.name}", only for {" and ".join(those)}',
                hint=f"leave {given} out",
            )
    return family


def _takes_bearing(family: FeatureFamily) -> bool:
    return set(GEOMETRY_PARAMETERS) <= set(family.parameters)


def _takes_speed(family: FeatureFamily) -> bool:
    return bool(family.speed_features)


_CONVENIENCES: Final[Mapping[str, Callable[[FeatureFamily], bool]]] = {
    "bearing": _takes_bearing,
    "zones": lambda family: any(formula.name == SEVERITY for formula in family.formulas),
    "shaft_hz": _takes_speed,
    "shaft_tag": _takes_speed,
}
"""Settings that only some families have a use for."""


def _names(family: FeatureFamily, settings: IndicatorSettings, orders: Mapping[FaultLine, float]) -> tuple[str, ...]:
    if settings.features:
        return settings.features
    if not family.default_features:
        raise ConfigurationError(f"{family.name} has no default features", hint="name them: features = []")
    lines = {name: line_of(name) if _takes_bearing(family) else None for name in family.default_features}
    return tuple(name for name, line in lines.items() if line is None or line in orders)


def _parameters(
    source: WaveformSettings,
    family: FeatureFamily,
    settings: IndicatorSettings,
    tables: TableSettings,
    group: MachineGroup | None,
) -> dict[str, Value]:
    parameters: dict[str, Value] = dict(settings.parameters)
    if "signal_unit" in family.parameters:
        parameters.setdefault("signal_unit", source.signal_unit)
    if group is not None:
        for name, wanted in (("low_hz", group.low_hz), ("high_hz", group.high_hz)):
            if parameters.setdefault(name, wanted) != wanted:
                raise ConfigurationError(
                    f"{name} is {parameters[name]}, but the zones of {group.name} are for {wanted:g} Hz",
                    hint=f"leave {name} out, or leave the zones out",
                )
    if settings.bearing is not None:
        parameters |= _geometry(settings.bearing, parameters, tables.bearings_file or BEARINGS_FILE)
    if settings.shaft_hz is not None:
        parameters["shaft_hz"] = settings.shaft_hz
    return parameters


def _geometry(name: str, given: Mapping[str, Value], file: Path) -> dict[str, Value]:
    both = [parameter for parameter in (*GEOMETRY_PARAMETERS, *ORDER_PARAMETERS) if parameter in given]
    if both:
        raise ConfigurationError(f"bearing and {both[0]} both say the geometry", hint="keep one of them")
    bearings = read_bearings(file)
    if name not in bearings:
        raise ConfigurationError(
            f"no bearing is called {name!r}",
            hint=f"known: {', '.join(bearings)}; add yours to a file of your own, tables.bearings_file",
        )
    return dict(bearings[name].geometry.parameters())


def _group(settings: IndicatorSettings, tables: TableSettings) -> MachineGroup | None:
    if settings.zones is None:
        return None
    groups = read_machine_groups(tables.zones_file or SEVERITY_ZONES_FILE)
    if settings.zones not in groups:
        raise ConfigurationError(f"no machine group is called {settings.zones!r}", hint=f"known: {', '.join(groups)}")
    return groups[settings.zones]


def _orders(family: FeatureFamily, parameters: Mapping[str, Value]) -> dict[FaultLine, float]:
    if not _takes_bearing(family):
        return {}
    known = (*GEOMETRY_PARAMETERS, *ORDER_PARAMETERS)
    return orders_from(
        Parameters(family.name, {name: value for name, value in parameters.items() if name in known}, known=known)
    )
