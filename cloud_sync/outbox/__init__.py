"""The durable queue: stored before it is sent, kept until it is settled, salvaged when its file is damaged."""
