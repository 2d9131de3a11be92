"""Where a model comes from: a file, a registry, and the card that goes with it."""
