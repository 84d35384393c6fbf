"""Layers as attributes block0, block1, ..., found by name; recursion over the depth."""

from torch import nn

from autograder import given


class Encoder(nn.Module):
    def __init__(
        self, n_layers, d_model, n_heads, d_ff, dropout=0.0, norm_first=False, activation="relu", final_norm=False
    ):
        super().__init__()
        self.n = n_layers
        for i in range(n_layers):
            layer = given.EncoderLayer(
                d_model, n_heads, d_ff, dropout=dropout, norm_first=norm_first, activation=activation
            )
            self.add_module(f"block{i}", layer)
        if final_norm:
            self.last = given.LayerNorm(d_model)

    def load_reference(self, sd):
        self.load_state_dict(
            {
                name.replace("layers.", "block")
                if name.startswith("layers.")
                else name.replace("norm.", "last."): value
                for name, value in sd.items()
            }
        )

    def after(self, depth, x, mask):
        if depth == 0:
            return x
        return getattr(self, f"block{depth - 1}")(self.after(depth - 1, x, mask), mask=mask)

    def forward(self, x, mask=None):
        out = self.after(self.n, x, mask)
        return self.last(out) if hasattr(self, "last") else out
