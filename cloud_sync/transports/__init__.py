"""Ways to the central. One promise (base), one library each."""
