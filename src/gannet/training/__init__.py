"""Training with torch: the trainer, its loops, similarities, losses and gradient attention."""
