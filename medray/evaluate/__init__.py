"""Evaluation: perplexity and multiple choice of a policy, the reward model on held-out pairs, fresh completions."""
