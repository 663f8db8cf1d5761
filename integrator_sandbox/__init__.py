"""Stand-ins for the platforms' HTTP APIs on loopback, fed with real public data. Never part of production."""
