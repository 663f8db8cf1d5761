"""The six steps as functions: what Dagster, the realtime service and the command line all call."""
