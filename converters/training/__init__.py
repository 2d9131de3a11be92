"""The recipes of the shipped bundles: data folder in, bundle content out. Same data, same bytes."""
