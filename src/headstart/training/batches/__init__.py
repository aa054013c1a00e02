"""The batches of a step: which samples, in what order, augmented how, made ahead."""
