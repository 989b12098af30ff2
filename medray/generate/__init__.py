"""Generation: vLLM engines behind Ray actors, and the clients of models that are served over HTTP."""
