"""OPC UA: mapping of values, the way in, driver."""
