"""The stream worker: Kafka in, Kafka out. Knows brokers, groups and offsets; what records mean is the steps' business."""
