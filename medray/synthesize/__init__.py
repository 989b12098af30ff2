"""Documents, questions, instructions and prompts made from biomedical ontologies."""
