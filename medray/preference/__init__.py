"""Preference rounds: sample, judge, pairs, reference log-probs, DPO."""
