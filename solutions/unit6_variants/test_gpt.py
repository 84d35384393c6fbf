"""Public checks of the page `gpt`."""
