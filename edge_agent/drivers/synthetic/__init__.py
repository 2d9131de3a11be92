"""A formula in place of a sensor."""
