"""Where insights go: one folder per channel, `registry.py` lists them. Channels do not know each other."""
