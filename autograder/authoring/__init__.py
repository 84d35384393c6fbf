"""For course authors: the release is built from the solutions, and the graders prove themselves."""
