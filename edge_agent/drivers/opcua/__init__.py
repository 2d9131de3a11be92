"""OPC UA: settings, mapping of values, client, driver."""
