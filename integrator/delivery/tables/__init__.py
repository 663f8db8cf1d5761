"""The insight tables a partner's own login reads."""
