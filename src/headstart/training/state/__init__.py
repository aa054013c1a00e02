"""What outlives a step: checkpoints, the average of the weights, the guard of finite numbers."""
