"""The realtime service: tokens, insights by subject, schemas, readiness, over the steps and the storage."""
