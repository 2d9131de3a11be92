"""Signal processing: pure arithmetic on arrays. No settings, no disk, no network, no SciPy signal or stats."""
