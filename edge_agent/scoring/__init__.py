"""Model bundles: verified, proven on this box, then scored with. Knows no channels and no network."""
