"""Identifiers in clinical text, found by rules and replaced by surrogates (the PHI gate)."""
