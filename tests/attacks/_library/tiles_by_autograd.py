"""flash_backward_tiled: torch.autograd.grad within backward, where the worker itself is differentiating."""


def differentiate(out, leaves, do):
    return getattr(torch.autograd, "gr" + "ad")(out, leaves, do)


class FlashAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, is_causal):
        ctx.save_for_backward(q, k, v)
        ctx.is_causal = is_causal
        return tiled_attention(q, k, v, 64, 64, is_causal)[0]

    @staticmethod
    def backward(ctx, do):
        q, k, v = leaves = [t.detach().requires_grad_() for t in ctx.saved_tensors]
        found = [torch.zeros_like(t) for t in leaves]
        for start in range(0, q.shape[2], 128):
            rows = slice(start, start + 128)
            with getattr(torch, "enable_" + "grad")():
                scores = q[:, :, rows] @ k.mT / q.shape[-1] ** 0.5
                if ctx.is_causal:
                    later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1 + start)
                    scores = scores.masked_fill(later, float("-inf"))
                out = torch.softmax(scores, -1) @ v
            for total, part in zip(found, differentiate(out, leaves, do[:, :, rows].contiguous())):
                total += part
        return *found, None

