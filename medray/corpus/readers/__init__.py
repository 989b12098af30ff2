"""Readers of the published formats of pretraining sources: rows of a file become fields of documents."""
