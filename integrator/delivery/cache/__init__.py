"""The cache behind the realtime API's lookups."""
