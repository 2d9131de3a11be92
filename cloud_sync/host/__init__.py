"""The operating system as every program of ours meets it: files, signals, terminals."""
