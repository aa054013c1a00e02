"""A run that is under way, looked at from outside: its log is read as it grows, nothing is asked.

Whoever looks cannot disturb: no lock is taken, no file is written, and the run never waits.
"""
