"""Which density? Held-out likelihood side by side, and whether samples can be told from data."""
