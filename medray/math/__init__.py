"""Losses, log-probabilities and schedules: pure torch, no model, no Ray."""
