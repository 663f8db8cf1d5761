"""Train, predict, explain: frames in, frames out. No Dagster, no SQL, no HTTP."""
