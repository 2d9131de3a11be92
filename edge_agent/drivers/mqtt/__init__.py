"""MQTT as a source: topics and Sparkplug B metrics become tags. Subscribes only, never publishes."""
