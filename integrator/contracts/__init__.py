"""The nouns every other part speaks: records, insight, readiness, errors. Imports nothing of ours."""
