"""The arithmetic below the features: arrays in, arrays out."""
