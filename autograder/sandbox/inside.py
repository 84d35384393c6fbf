"""What `import autograder` is inside the wall: the building blocks in `autograder.given`, and a silent `check`."""


def check(*args: object, **kwargs: object) -> None:
    """Nothing: a notebook's own check cells have no say in grading."""
