"""A model as files, and its proof: read, verified, installed, run."""
