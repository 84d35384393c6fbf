"""Both arrangements written out line by line."""

from torch import nn

from autograder.given import FeedForward, LayerNorm, MultiHeadAttention


class DecoderLayer(nn.Module):
    def __init__(self, d_model, n_heads, d_ff, dropout=0.0, norm_first=False, activation="relu"):
        super().__init__()
        self.norm_first = norm_first
        self.self_attn = MultiHeadAttention(d_model, n_heads)
        self.cross_attn = MultiHeadAttention(d_model, n_heads)
        self.ffn = FeedForward(d_model, d_ff, activation)
        self.norm1, self.norm2, self.norm3 = LayerNorm(d_model), LayerNorm(d_model), LayerNorm(d_model)
        self.drop1, self.drop2, self.drop3 = nn.Dropout(dropout), nn.Dropout(dropout), nn.Dropout(dropout)

    def forward(self, x, memory, tgt_mask=None, memory_mask=None):
        if self.norm_first:
            y = self.norm1(x)
            x = x + self.drop1(self.self_attn(y, y, y, mask=tgt_mask))
            x = x + self.drop2(self.cross_attn(self.norm2(x), memory, memory, mask=memory_mask))
            return x + self.drop3(self.ffn(self.norm3(x)))
        x = self.norm1(x + self.drop1(self.self_attn(x, x, x, mask=tgt_mask)))
        x = self.norm2(x + self.drop2(self.cross_attn(x, memory, memory, mask=memory_mask)))
        return self.norm3(x + self.drop3(self.ffn(x)))
