"""Learning from pairs: similarities, losses, gradient attention and the loop (needs torch)."""
