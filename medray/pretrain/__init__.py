"""Continued pretraining on a packed corpus."""
