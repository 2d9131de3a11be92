"""Subscriptions: monitored items, notifications, keep-alives, and their loss."""
