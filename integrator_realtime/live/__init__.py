"""Event streams: what is said in them, one feed of news per partner, and the hub that holds them."""
