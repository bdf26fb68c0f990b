"""Libraries of image networks, by the prefix of their networks' names: one file each."""
