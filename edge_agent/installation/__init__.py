"""What this box keeps about its own installation in the state folder: the lock, who it is, how often it started."""
