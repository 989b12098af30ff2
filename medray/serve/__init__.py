"""Serving: models behind Ray Serve over HTTP."""
