"""What assets, checks and sensors are handed."""
