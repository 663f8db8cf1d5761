"""The asset modules, one per step."""
