"""Recordings as arrays: WAV, FLAC, CSV, raw text snapshots and MATLAB files, also gzipped."""
