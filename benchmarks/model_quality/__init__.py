"""How good the models are on real public data, beside the naive rule and the obvious library default."""
