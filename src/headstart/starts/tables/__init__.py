"""Starts for tables: a linear model and an MLP."""
