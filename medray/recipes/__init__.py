"""Recipes: one function, one full typed config; every number cites its source."""
