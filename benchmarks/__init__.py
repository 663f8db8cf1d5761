"""Figures beside their peers, measured in one run on one machine; nothing here asserts a time."""
