"""Training: recipes, strategies, feeds, and the one loop."""
