"""Sample blocks to windows, features, scores, alarms and records. `stages` is the only asyncio here."""
