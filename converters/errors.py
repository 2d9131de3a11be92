"""What the workshop cannot turn into a bundle, and what to do instead.

A branch of its own under BundleError, so that a command can tell a foreign model from a bundle that failed its proof.
"""

from __future__ import annotations

from edge_agent.errors import BundleError


class UnsupportedModelError(BundleError):
    """A model, or a step of its pipeline, that has no exact graph here."""


class ModelFileError(BundleError):
    """A model file that cannot be read, or must not be."""


class CardError(BundleError):
    """The card beside a model lacks something, or contradicts the model. `where` is the field, dotted."""

    def __init__(self, message: str, *, where: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.where = where


class RegistryError(BundleError):
    """A model registry that cannot be asked, or does not have what was asked for."""
