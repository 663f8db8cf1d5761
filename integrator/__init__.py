"""The library: plain Python, no Dagster, no machine learning."""
