"""What comes in at the central, over HTTP and MQTT: read within bounds, answered after COMMIT."""
