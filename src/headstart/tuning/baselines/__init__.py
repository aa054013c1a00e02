"""What simple methods reach on the same items, beside every run."""
