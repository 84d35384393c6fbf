"""One file per command that is more than a call: what it does, and what the terminal shows."""
