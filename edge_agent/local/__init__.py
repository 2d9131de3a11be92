"""What the daemon says about itself on this box: a unix socket and a file that outlives the process."""
