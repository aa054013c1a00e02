"""Own starting points: what is learned from samples whose labels nobody looks at."""
