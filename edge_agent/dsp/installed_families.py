"""Feature families of other installed packages, found by their entry points.

Constraints
- An entry point is loaded when its family is asked for, never before: a package that is broken or slow to import costs
  whoever names its family, and nobody else.
- Its code is somebody else's. Whatever it raises while it is loaded is one FamilyError that names the package.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Final

from edge_agent.core.installed_parts import foreign_code, import_foreign, package_of
from edge_agent.dsp.family_base.family import FeatureFamily
from edge_agent.errors import FamilyError

GROUP: Final = "smart_maintenance_edge.features"
"""An entry point has the family's name and leads to its `FeatureFamily`."""


def load_installed(name: str) -> FeatureFamily | None:
    """Return the installed family of this name, or None. Raises FamilyError for one that cannot be used, or for two."""
    found = tuple(entry_points(group=GROUP, name=name))
    if not found:
        return None
    if len(found) > 1:
        raise FamilyError(
            f"the feature family {name} is offered by {' and '.join(sorted(package_of(one) for one in found))}",
            hint="uninstall all but one of them",
        )
    return _loaded(found[0])


def _loaded(entry: EntryPoint) -> FeatureFamily:
    who = f"the feature family {entry.name} of the package {package_of(entry)}"
    mend = "repair or uninstall the package"
    with foreign_code(lambda text: FamilyError(f"{who} cannot be loaded: {text}", hint=mend)):
        family = import_foreign(entry.value, entry.load)
    if not isinstance(family, FeatureFamily):
        raise FamilyError(
            f"{who}: {entry.value} is a {type(family).__name__}, not a FeatureFamily",
            hint="its entry point must lead to the family itself",
        )
    if family.name != entry.name:
        raise FamilyError(f"{who} calls itself {family.name}", hint="name the entry point like the family")
    return family
