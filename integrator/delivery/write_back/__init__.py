"""Insights written back into the platforms that know their subjects; the platforms' own code is theirs."""
