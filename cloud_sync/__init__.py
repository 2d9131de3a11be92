"""Store and forward: records into a durable outbox, batches out, settled by the central's answer.

Knows nothing of `edge_agent`; it could be shipped alone.
"""
