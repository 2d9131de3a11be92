"""From the outbox to the central: what goes next, how fast and how much, and what to do when it is not taken."""
