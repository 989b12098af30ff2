"""Pure text and arrays: no torch, no network, no Ray."""
