"""Refuses operators of torch for the rest of this process, in torch's dispatcher, or all of automatic differentiation.
Inside a worker only.

Every way to an operator ends there: `torch.nn.functional`, `torch._C`, `torch.ops`, TorchScript, vmap, a thread, a
forked child. A kernel that raises is put over the operator's own for every key that a worker can reach. The object that
could take it away again is left without a name: it is not tracked by the garbage collector, and one reference to it is
never given back.
"""

import ctypes
import gc
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import torch

_CPU_KEYS = ("CPU", "AutogradCPU", "AutocastCPU", "NestedTensorCPU")
_KEYS = (
    "CompositeImplicitAutograd", "CompositeExplicitAutograd", "Autograd", "Meta",
    "FuncTorchBatched", "FuncTorchBatchedDecomposition",
    "FuncTorchVmapMode",
    *_CPU_KEYS,
    *([key.replace("CPU", "CUDA") for key in _CPU_KEYS] if torch.version.cuda else []),
)  # fmt: skip

_ATTENTION = (
    "scaled_dot_product_attention", "_scaled_dot_product_attention_math", "_scaled_dot_product_attention_math_for_mps",
    "_scaled_dot_product_flash_attention", "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_efficient_attention", "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_fused_attention_overrideable", "_flash_attention_forward",
    "_flash_attention_forward_no_dropout_inplace", "_efficient_attention_forward", "_cudnn_attention_forward",
    "_triton_scaled_dot_attention", "_triton_multi_head_attention", "_native_multi_head_attention",
    "_transformer_encoder_layer_fwd",
)  # fmt: skip
_CONVOLUTION = (
    "convolution", "_convolution", "_convolution_mode", "convolution_overrideable", "mkldnn_convolution", "thnn_conv2d",
    "_slow_conv2d_forward",
)  # fmt: skip
_SOFTMAX = ("_safe_softmax", "_masked_softmax")
# What computes the same as a name and is not called like it. Only operators that do so alone: who composes two that are
# allowed has written it.
_RELATIVES: dict[str, tuple[str, ...]] = {
    "torch.nn.functional.scaled_dot_product_attention": _ATTENTION,
    "torch._C._nn.scaled_dot_product_attention": _ATTENTION,
    "autograder.given.scaled_dot_product_attention": _ATTENTION,
    "torch.nn.functional.multi_head_attention_forward": _ATTENTION[-3:],
    "torch.nn.MultiheadAttention": _ATTENTION[-3:],
    "torch.nn.TransformerEncoderLayer": _ATTENTION[-1:],
    "torch.softmax": _SOFTMAX,
    "torch.nn.functional.softmax": _SOFTMAX,
    "torch.nn.LayerNorm": ("layer_norm", "native_layer_norm"),
    "torch.nn.RMSNorm": ("rms_norm", "_fused_rms_norm"),
    "torch.nn.functional.rms_norm": ("rms_norm", "_fused_rms_norm"),
    "torch.nn.functional.cross_entropy": ("cross_entropy_loss",),
    "torch.nn.CrossEntropyLoss": ("cross_entropy_loss",),
    "torch.nn.functional.nll_loss": ("nll_loss_nd", "nll_loss_forward", "nll_loss2d", "nll_loss2d_forward"),
    "torch.nn.functional.kl_div": ("kl_div",),
    "torch.nn.Embedding": ("embedding", "embedding_bag", "_embedding_bag", "_embedding_bag_forward_only"),
    "torch.nn.functional.embedding": ("embedding_bag", "_embedding_bag", "_embedding_bag_forward_only"),
    "torch.nn.Linear": ("linear",),
    "torch.nn.functional.conv2d": _CONVOLUTION,
    "torch.nn.Conv2d": ("conv2d", *_CONVOLUTION),
    "torch.nn.functional.unfold": ("im2col", "unfold"),
    "torch.nn.Unfold": ("im2col",),
    "torch.nn.functional.fold": ("col2im",),
}  # fmt: skip
_OWNERS = ("torch", "torch.Tensor", "torch.nn.functional", "torch.special", "torch._C._nn")


def operators_of(name: str) -> list[str]:
    """The operators, every overload of each, that compute what the function or class of this dotted name computes."""
    owner, _, last = name.rpartition(".")
    wanted = set(_RELATIVES.get(name, ()))
    if owner in _OWNERS:
        wanted |= {last, f"_{last}", f"native_{last}", f"special_{last}", f"{last}_"}
    wanted |= {f"{short}_{end}" for short in wanted for end in ("backward", "backward_data")}  # their gradients
    return [operator for short in sorted(wanted) for operator in _overloads().get(short, ())]


# What random generators are made of and asked with; the worker looks at torch's global one after a call.
_HARMLESS = {"rand", "empty", "uniform_", "item", "_local_scalar_dense"}


@cache
def every_operator() -> Sequence[str]:
    """All that computes on this machine's processor, so that torch as a whole is refused."""
    found = _with_kernel("CPU", "CompositeExplicitAutograd")
    return [operator for operator in found if operator.partition(".")[0] not in _HARMLESS]


# Functions of torch._C, for torch's own tests and for C++ servers: a runtime that calls kernels without asking the
# dispatcher, and a differentiator of TorchScript graphs that needs no record of what was computed.
_BESIDE_THE_DISPATCHER = ("_jit_to_static_module", "_fuse_to_static_module", "_jit_differentiate")


def close_side_doors() -> None:
    """From now on nothing in this process computes or differentiates past the dispatcher. Before `gc.freeze`."""
    doors = [vars(torch._C).pop(name) for name in _BESIDE_THE_DISPATCHER if hasattr(torch._C, name)]
    # SECURITY: torch._dynamo keeps a table of all that torch has; who asks the garbage collector would find it there
    for holder in gc.get_referrers(*doors) if doors else ():
        if isinstance(holder, dict):
            for key in [key for key, value in holder.items() if any(key is door or value is door for door in doors)]:
                del holder[key]


def stop_recording() -> None:
    """From now on no operator records what autograd would need: only a Function of the page's own has a gradient.

    Whatever there is to start a backward pass with (`torch.autograd`, its engine, `torch.func`, TorchScript), and
    forward mode too, goes through the kernels that are passed over here.
    """
    _put_over(recording_operators(), torch.library.fallthrough_kernel, ("Autograd",))


@cache
def recording_operators() -> Sequence[str]:
    """All that record what a gradient needs."""
    return _with_kernel("Autograd")


def _with_kernel(*keys: str) -> list[str]:
    """The operators that have a kernel of their own for one of these dispatch keys."""
    return [
        operator
        for overloads in _overloads().values()
        for operator in overloads
        if any(torch._C._dispatch_has_kernel_for_dispatch_key(f"aten::{operator}", key) for key in keys)
    ]


@cache
def _overloads() -> Mapping[str, list[str]]:
    """Short name -> all operators of that name: `softmax` -> `softmax.int`, `softmax.Dimname`, ..."""
    found: dict[str, list[str]] = {}
    for operator in torch._C._dispatch_get_all_op_names():
        namespace, _, rest = operator.partition("::")
        if namespace == "aten":
            found.setdefault(rest.partition(".")[0], []).append(rest)
    return found


def refuse_operators(operators: Iterable[str], refuse: Callable[..., Any], keys: Sequence[str] = _KEYS) -> None:
    """From now on `refuse`, which raises, answers for these. There is no way back in this process."""
    _put_over(operators, refuse, keys)


def _put_over(operators: Iterable[str], kernel: Callable[..., Any], keys: Sequence[str]) -> None:
    libraries = [(torch._C._dispatch_library("IMPL", "aten", key), key) for key in keys]
    for operator in operators:
        for library, key in libraries:
            library.impl(operator, key, kernel)
    for library, _ in libraries:
        # SECURITY: the last name goes, the object stays; its `reset` would bring the operators back.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(library))
