"""Kafka out: the client both ways use, the relay from the insight tables to the topic, the channel."""
