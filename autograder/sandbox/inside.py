"""What `import autograder` is inside bubblewrap: a place for `autograder.given` and `autograder.sandbox`."""
