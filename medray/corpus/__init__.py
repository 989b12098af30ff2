"""Stages from outside things to a packed corpus: sources, base model, corpus."""
