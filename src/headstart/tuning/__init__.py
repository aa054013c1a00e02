"""Assemble one fine-tuning: decode, probe, train, calibrate, conclude."""
