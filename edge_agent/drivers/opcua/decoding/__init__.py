"""A server's data values as readings: numbers, words, statuses, times."""
