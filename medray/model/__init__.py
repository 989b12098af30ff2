"""The only place for transformers: loading, export, chat rendering and base models."""
