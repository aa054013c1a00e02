"""What a training does: every option, resolved, and which parameters learn."""
