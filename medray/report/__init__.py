"""The report: every figure with its interval and count, what differs and what does not, and one HTML page of it."""
