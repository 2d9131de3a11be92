"""Whether the central still holds what it acknowledged."""
