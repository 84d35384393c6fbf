"""Building blocks that later pages may import, made of public torch calls.

A page never depends on a student's own earlier page: what it builds on comes from here, so that one early failure
costs nothing later.
"""

from autograder.given.attention import (
    MultiHeadAttention,
    attention_weights,
    attention_with_lse,
    masked_softmax,
    scaled_dot_product_attention,
)
from autograder.given.gpt import GPT
from autograder.given.grammar import GrammarText
from autograder.given.layers import (
    DecoderLayer,
    EncoderLayer,
    FeedForward,
    LayerNorm,
    sinusoidal_encoding,
    squared_error,
)
from autograder.given.sequences import BareTransformer, SequenceTask, source_mask, target_mask
from autograder.given.t5 import RelativeBias, RMSNorm, relative_position_bucket

__all__ = [
    "GPT",
    "BareTransformer",
    "DecoderLayer",
    "EncoderLayer",
    "FeedForward",
    "GrammarText",
    "LayerNorm",
    "MultiHeadAttention",
    "RMSNorm",
    "RelativeBias",
    "SequenceTask",
    "attention_weights",
    "attention_with_lse",
    "masked_softmax",
    "relative_position_bucket",
    "scaled_dot_product_attention",
    "sinusoidal_encoding",
    "source_mask",
    "squared_error",
    "target_mask",
]
