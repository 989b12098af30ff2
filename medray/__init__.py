"""medray: from raw biomedical text to a judged, served medical language model, on Ray. Research only."""

__version__ = "0.1.0"
