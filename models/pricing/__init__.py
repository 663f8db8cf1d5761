"""Pricing: the price that earns most, where price history can say so; recommended, never set."""
