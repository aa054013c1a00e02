"""Starts for texts: transformers encoders, a small BERT from scratch, TF-IDF."""
