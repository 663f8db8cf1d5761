"""PostgreSQL and Redis from wheels, on loopback, when no address is configured."""
