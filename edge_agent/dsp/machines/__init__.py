"""What is known of machines and sensors: bearings, severity, faults of the measurement."""
