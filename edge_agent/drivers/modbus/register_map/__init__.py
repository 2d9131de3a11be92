"""Register maps of vendors, in CSV, as the tags of a poll group."""
