"""The frozen first layers of a network: recorded, cut off, computed once, kept."""
