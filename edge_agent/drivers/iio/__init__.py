"""Accelerometers of Linux's Industrial I/O subsystem: sysfs and the character device, no library."""
