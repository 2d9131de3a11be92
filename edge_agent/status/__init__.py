"""What the agent says of itself: the status document, and the socket that serves it."""
