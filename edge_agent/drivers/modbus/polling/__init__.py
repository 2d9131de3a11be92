"""Reading poll groups: passes, requests that fail or are silent, what is known of each tag."""
