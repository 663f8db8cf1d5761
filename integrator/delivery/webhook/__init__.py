"""Webhooks after Standard Webhooks 1.0: outbox, guard against forged addresses, dispatcher."""
