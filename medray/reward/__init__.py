"""The reward model: its pairs and its training."""
