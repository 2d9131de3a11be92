"""The transports to the central, made from the settings."""
