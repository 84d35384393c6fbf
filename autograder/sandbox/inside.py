"""What `import autograder` is inside bubblewrap: nothing but a place for `autograder.given` and `autograder.sandbox`."""
