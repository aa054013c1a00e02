"""Starts that read images and texts into one space: pairs of two encoders, and CLIP's."""
