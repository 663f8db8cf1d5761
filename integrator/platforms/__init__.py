"""Where data comes from: one folder per platform, listed in `registry`. Platforms do not know each other."""
