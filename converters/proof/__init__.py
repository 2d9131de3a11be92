"""That a converted model says what its source says."""
