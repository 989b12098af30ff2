"""One training loop for every objective: elastic, exact, with or without Ray."""
