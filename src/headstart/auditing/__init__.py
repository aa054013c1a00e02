"""What would make the figures lie: a file each kind of audit, and one table of them all."""
