"""What every page of medray shares: its style sheet, its charts as SVG, its texts for sizes and times."""
