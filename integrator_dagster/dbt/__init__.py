"""The one dbt project as assets: its manifest, its specs, its one invocation."""
