"""Alembic migrations; `run()` brings a database to the newest revision."""
