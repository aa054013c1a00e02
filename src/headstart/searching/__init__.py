"""Try several trainings and choose among them: it drives arms, and knows nothing of loops."""
