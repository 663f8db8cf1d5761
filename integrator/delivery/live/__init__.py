"""Live updates: event streams that hosts and their pages hold open."""
