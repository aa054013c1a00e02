"""A linear model on frozen features, solved for."""
