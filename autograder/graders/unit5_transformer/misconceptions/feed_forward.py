"""Known wrong answers to the page `feed_forward`."""

import torch
import torch.nn.functional as F

from autograder.grading.misconceptions import correct, misconception

# ---------------------------------------------------------------- feed_forward


@misconception("feed_forward", symbol="FeedForward")
class gelu_variant_mixed(correct.FeedForward):
    """ "gelu" and "gelu_tanh" gave the same function. They are two, up to 0.0005 apart.

    "gelu" is the exact one, with erf; "gelu_tanh" is the approximation. F.gelu takes an option for it.
    """

    def forward(self, x):
        a = self.fc1(x)
        h = F.relu(a) if self.activation == "relu" else F.gelu(a)
        return self.fc2(F.dropout(h, self.dropout, training=self.training))


@misconception("feed_forward", symbol="FeedForward")
class activation_after_fc2(correct.FeedForward):
    """The activation stands behind the second layer.

    Without a bend between them the two layers are one matrix, and a relu at the end leaves no negative result. It
    belongs in between.
    """

    def forward(self, x):
        out = self.fc2(F.dropout(self.fc1(x), self.dropout, training=self.training))
        if self.activation == "relu":
            return F.relu(out)
        return F.gelu(out, approximate="tanh" if self.activation == "gelu_tanh" else "none")


@misconception("feed_forward", symbol="FeedForward")
class mixes_tokens(correct.FeedForward):
    """Tokens were mixed: a transpose and a reshape put numbers of several tokens into one vector.

    The network works on the last axis, and nn.Linear does so by itself, whatever axes are in front. No reshape is
    needed.
    """

    def forward(self, x):
        mixed = x.mT.reshape(x.shape) if x.ndim > 1 else x
        return super().forward(mixed)


@misconception("feed_forward", symbol="FeedForward")
class no_bias(correct.FeedForward):
    """The biases are not used. Both layers add one: a token of zeros does not become zeros."""

    def forward(self, x):
        a = x @ self.fc1.weight.mT
        if self.activation == "relu":
            h = F.relu(a)
        else:
            h = F.gelu(a, approximate="tanh" if self.activation == "gelu_tanh" else "none")
        return F.dropout(h, self.dropout, training=self.training) @ self.fc2.weight.mT


@misconception("feed_forward", symbol="FeedForward")
class dropout_before_activation(correct.FeedForward):
    """Dropout was applied before the activation. It belongs behind it.

    With relu the two orders give the same, since relu(c·a) is c·relu(a). GELU is no such function: a number that was
    divided by 1 − dropout before it does not come out divided by that.
    """

    def forward(self, x):
        a = F.dropout(self.fc1(x), self.dropout, training=self.training)
        if self.activation == "relu":
            return self.fc2(F.relu(a))
        return self.fc2(F.gelu(a, approximate="tanh" if self.activation == "gelu_tanh" else "none"))


def activated(network, x):
    """The hidden numbers, before any dropout."""
    a = network.fc1(x)
    if network.activation == "relu":
        return F.relu(a)
    return F.gelu(a, approximate="tanh" if network.activation == "gelu_tanh" else "none")


@misconception("feed_forward", symbol="FeedForward")
class hidden_tokens_dropped(correct.FeedForward):
    """All hidden numbers of a token vanish together, or none does.

    Dropout decides about each number by itself. How many random numbers are drawn for one token? (F.dropout1d and its
    relatives drop whole channels.)
    """

    def forward(self, x):
        h = activated(self, x)
        if self.training and self.dropout:
            h = h * F.dropout(torch.ones_like(h[..., :1]), self.dropout)
        return self.fc2(h)


@misconception("feed_forward", symbol="FeedForward")
class one_hidden_mask(correct.FeedForward):
    """The same hidden numbers are missing in every token: one row of decisions was drawn for all of them.

    Dropout decides about each number of each token by itself. What shape has what you draw?
    """

    def forward(self, x):
        h = activated(self, x)
        if self.training and self.dropout:
            h = h * F.dropout(torch.ones(h.shape[-1], dtype=h.dtype), self.dropout)
        return self.fc2(h)


@misconception("feed_forward", symbol="FeedForward")
class tanh_for_both(correct.FeedForward):
    """ "gelu" and "gelu_tanh" gave the same function, the approximation. "gelu" is the exact one, with erf."""

    def forward(self, x):
        a = self.fc1(x)
        h = F.relu(a) if self.activation == "relu" else F.gelu(a, approximate="tanh")
        return self.fc2(F.dropout(h, self.dropout, training=self.training))


@misconception("feed_forward", symbol="FeedForward")
class gelus_exchanged(correct.FeedForward):
    """ "gelu" and "gelu_tanh" were exchanged: "gelu" is the exact one, with erf, and "gelu_tanh" the approximation."""

    def forward(self, x):
        a = self.fc1(x)
        form = "tanh" if self.activation == "gelu" else "none"
        h = F.relu(a) if self.activation == "relu" else F.gelu(a, approximate=form)
        return self.fc2(F.dropout(h, self.dropout, training=self.training))


@misconception("feed_forward", symbol="FeedForward")
class no_activation(correct.FeedForward):
    """There is no activation between the layers where relu is asked for. Without a bend the two are one matrix."""

    def forward(self, x):
        if self.activation != "relu":
            return super().forward(x)
        return self.fc2(F.dropout(self.fc1(x), self.dropout, training=self.training))


@misconception("feed_forward", symbol="FeedForward")
class activation_twice(correct.FeedForward):
    """There is an activation behind the second layer, too. It belongs between the two: a result may be negative."""

    def forward(self, x):
        out = super().forward(x)
        if self.activation == "relu":
            return F.relu(out)
        return F.gelu(out, approximate="tanh" if self.activation == "gelu_tanh" else "none")


@misconception("feed_forward", symbol="FeedForward")
class network_adds_its_input(correct.FeedForward):
    """x was added to the result. The residual connection is on the next page; this network returns what it writes."""

    def forward(self, x):
        return x + super().forward(x)


class Dropping(correct.FeedForward):
    """The right network, with places where dropout can be changed."""

    def drop(self, h):
        return F.dropout(h, self.dropout, training=self.training)

    def forward(self, x):
        return self.fc2(self.drop(activated(self, x)))


@misconception("feed_forward", symbol="FeedForward")
class nothing_dropped(Dropping):
    """In train mode nothing was dropped: the argument `dropout` has no effect."""

    def drop(self, h):
        return h


@misconception("feed_forward", symbol="FeedForward")
class dropped_in_eval_mode(Dropping):
    """Hidden numbers were dropped in eval mode, too. `F.dropout` does not know the module's mode unless it is told."""

    def drop(self, h):
        return F.dropout(h, self.dropout)


@misconception("feed_forward", symbol="FeedForward")
class survivors_not_enlarged(Dropping):
    """The hidden numbers that were kept are not divided by 1 - dropout, so in train mode they add up to less."""

    def drop(self, h):
        return super().drop(h) * (1 - self.dropout) if self.training else h


@misconception("feed_forward", symbol="FeedForward")
class output_dropped(correct.FeedForward):
    """Dropout was applied to the result of the second layer. In this network the hidden numbers are dropped."""

    def forward(self, x):
        return F.dropout(self.fc2(activated(self, x)), self.dropout, training=self.training)


@misconception("feed_forward", symbol="FeedForward")
class output_dropped_too(Dropping):
    """Dropout was applied to the result of the second layer as well. Only hidden numbers are dropped."""

    def forward(self, x):
        return self.drop(super().forward(x))


@misconception("feed_forward", symbol="FeedForward")
class relu_capped(correct.FeedForward):
    """Hidden numbers end at 6: that is `relu6`. A relu has no upper end."""

    def forward(self, x):
        if self.activation != "relu":
            return super().forward(x)
        return self.fc2(F.dropout(F.relu6(self.fc1(x)), self.dropout, training=self.training))


# ---------------------------------------------------------------- swiglu


@misconception("swiglu", symbol="SwiGLU")
class gate_up_swapped(correct.SwiGLU):
    """Gate and content were exchanged: silu was applied to w3 x.

    Both have the same shape, so that nothing complains. In this exercise w1 is the gate.
    """

    def forward(self, x):
        return self.w2(self.w1(x) * F.silu(self.w3(x)))


@misconception("swiglu", symbol="SwiGLU")
class sigmoid_gate(correct.SwiGLU):
    """The gate is a sigmoid, as in the original GLU. Here it is silu(a) = a · sigmoid(a)."""

    def forward(self, x):
        return self.w2(torch.sigmoid(self.w1(x)) * self.w3(x))


@misconception("swiglu", symbol="SwiGLU")
class gelu_gate(correct.SwiGLU):
    """The gate is a GELU: that is GEGLU, its relative. In SwiGLU it is silu(a) = a · sigmoid(a)."""

    def forward(self, x):
        return self.w2(F.gelu(self.w1(x)) * self.w3(x))


@misconception("swiglu", symbol="SwiGLU")
class silu_on_product(correct.SwiGLU):
    """silu was applied to the product of gate and content. It belongs to the gate alone, before the product."""

    def forward(self, x):
        return self.w2(F.silu(self.w1(x) * self.w3(x)))


@misconception("swiglu", symbol="SwiGLU")
class silu_by_exp(correct.SwiGLU):
    """silu was written as a / (1 + exp(−a)), whose gradient is NaN where exp overflows.

    Forwards a division by infinity gives the right 0. Backwards it is infinity divided by infinity: at a = −100 in
    float32, at a = −12 in float16 already. Torch has a sigmoid, and a silu, that know about this.
    """

    def forward(self, x):
        a = self.w1(x)
        return self.w2(a / (1 + torch.exp(-a)) * self.w3(x))


@misconception("swiglu", symbol="SwiGLU")
class content_forgotten(correct.SwiGLU):
    """There is no content: w3 was not used. silu(w1 x) is the gate, which is multiplied by w3 x."""

    def forward(self, x):
        return self.w2(F.silu(self.w1(x)))


@misconception("swiglu", symbol="SwiGLU")
class relu_gate(correct.SwiGLU):
    """The gate is a relu: that is ReGLU, a relative. In SwiGLU it is silu(a) = a · sigmoid(a)."""

    def forward(self, x):
        return self.w2(F.relu(self.w1(x)) * self.w3(x))


@misconception("swiglu", symbol="SwiGLU")
class silu_on_both(correct.SwiGLU):
    """silu was applied to gate and content. The content passes as it is: only the gate has a bend."""

    def forward(self, x):
        return self.w2(F.silu(self.w1(x)) * F.silu(self.w3(x)))


@misconception("swiglu", symbol="SwiGLU")
class gate_and_content_added(correct.SwiGLU):
    """Gate and content were added. The gate says how much of the content passes: they are multiplied."""

    def forward(self, x):
        return self.w2(F.silu(self.w1(x)) + self.w3(x))


@misconception("swiglu", symbol="SwiGLU")
class silu_by_ratio(correct.SwiGLU):
    """silu was written as a · exp(a) / (1 + exp(a)), which is infinity by infinity for a large gate: NaN.

    That begins at a = 89 in float32, at a = 12 in float16 already. Torch has a sigmoid, and a silu, that know about
    this.
    """

    def forward(self, x):
        a = self.w1(x)
        return self.w2(a * a.exp() / (1 + a.exp()) * self.w3(x))
