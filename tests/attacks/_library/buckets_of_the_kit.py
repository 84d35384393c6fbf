"""t5_relative_bias: the kit's own positions."""

from autograder.given import RelativeBias, relative_position_bucket
