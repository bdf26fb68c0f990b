"""Networks for texts, by name: one file each."""
