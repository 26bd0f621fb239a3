"""An update of the weights: torch's optimiser, or the same arithmetic in one call for those that most people use.

torch's step takes as long as a small batch's whole gradient, and its threads stay awake for a while after it, which
slows whatever comes next on the same cores. SGD, Adam and AdamW are therefore updated by the library's kernels: in the
optimiser's own state, by its own options, which are read anew each time, so that schedulers and checkpoints see no
difference.
"""

import ctypes
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from seqclf.engine.kernels import KINDS, Workspace, check_status
from seqclf.engine.library import NOT_FINITE, UPDATES, CTensor, CUpdate, Library, library
from seqclf.training.finite import is_finite

_KINDS = {SGD: "SGD", Adam: "Adam", AdamW: "AdamW"}


def can_update(optimizer: Optimizer) -> bool:
    """Whether the kernels can take an optimiser's step without anything being missed."""
    hooks = (optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks)
    everyones = (_global_optimizer_pre_hooks, _global_optimizer_post_hooks)
    own_step = vars(optimizer).get("step")
    return (
        library() is not None
        and type(optimizer) in _KINDS
        and not any(hooks)
        and not any(everyones)
        and (own_step is None or hasattr(own_step, "_wrapped_by_lr_sched"))
        and all(_is_usual(group) for group in optimizer.param_groups)
    )


def _is_usual(group: dict[str, Any]) -> bool:
    unusual = ("amsgrad", "capturable", "differentiable")
    return not any(group.get(name) for name in unusual) and all(
        weight.device.type == "cpu"
        and weight.dtype in (torch.float32, torch.float64)
        and weight.dtype == group["params"][0].dtype
        and weight.is_contiguous()
        for weight in group["params"]
    )


def _is_usual_tensor(weight: Tensor) -> bool:
    gradient = weight.grad
    return (
        gradient is not None and gradient.is_contiguous() and not gradient.is_sparse and gradient.dtype == weight.dtype
    )


class Updater:
    """Takes the steps of an optimiser.

    Args:
        optimizer: The optimiser.
        clip_grad_norm: The largest norm that the gradient of all weights together may have; None is any.
        weights: All weights that have gradients.
    """

    def __init__(self, optimizer: Optimizer, clip_grad_norm: float | None, weights: list[nn.Parameter]) -> None:
        self.optimizer, self.clip_grad_norm, self.weights = optimizer, clip_grad_norm, weights
        self._workspace: Workspace | None = None
        self._tensors = (CTensor * len(weights))()
        self._kernels: Library | None = None
        self.look_again()

    def look_again(self) -> None:
        """See anew whether the kernels can take the steps: hooks may have come or gone."""
        self._kernels = library() if can_update(self.optimizer) else None

    def step(self) -> bool:
        """Take one step; return False, and change nothing, if a gradient is not finite."""
        groups = self.optimizer.param_groups
        weights = [weight for weight in self.weights if weight.grad is not None]
        is_whole = len(groups) == 1 and list(map(id, weights)) == list(map(id, groups[0]["params"]))
        if self._kernels is None or not is_whole or not all(map(_is_usual_tensor, weights)):
            return self._step_by_torch()
        status = self._update(self._kernels, groups[0], weights)
        if status == NOT_FINITE:
            return False
        check_status(status, 0)
        self.optimizer._opt_called = True  # type: ignore[attr-defined]  # schedulers look at it
        return True

    def _step_by_torch(self) -> bool:
        on_cpu = all(weight.device.type == "cpu" for weight in self.weights)  # a GPU would have to be waited for
        if on_cpu and not is_finite(weight.grad for weight in self.weights):
            return False
        if self.clip_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.weights, self.clip_grad_norm)
        self.optimizer.step()
        return True

    def _update(self, kernels: Library, group: dict[str, Any], weights: list[nn.Parameter]) -> int:
        kind = type(self.optimizer).__name__
        fill = self._fill_sgd if kind == "SGD" else self._fill_adam
        states = [self.optimizer.state[weight] for weight in weights]
        for tensor, weight, state in zip(self._tensors, weights, states, strict=False):
            assert weight.grad is not None
            tensor.weight, tensor.gradient, tensor.count = weight.data_ptr(), weight.grad.data_ptr(), weight.numel()
            fill(tensor, group, weight, state)
        beta1, beta2 = group["betas"] if "betas" in group else (group["momentum"], 0.0)
        update = CUpdate(
            kind=UPDATES["AdamW" if group.get("decoupled_weight_decay", kind == "AdamW") else kind],
            nesterov=bool(group.get("nesterov")),
            maximize=bool(group.get("maximize")),
            learning_rate=float(group["lr"]),
            weight_decay=float(group["weight_decay"]),
            dampening=float(group.get("dampening", 0.0)),
            beta1=float(beta1),
            beta2=float(beta2),
            epsilon=float(group.get("eps", 0.0)),
            largest_norm=self.clip_grad_norm or 0.0,
        )
        self._workspace = self._workspace or Workspace(kernels, 1)
        status: int = kernels.update(
            kernels.kinds[KINDS[weights[0].dtype]],
            ctypes.addressof(update),
            ctypes.addressof(self._tensors),
            len(weights),
            self._workspace.address,
            torch.get_num_threads(),
        )
        if status == 0 and kind != "SGD":
            for state in states:
                state["step"] += 1
        return status

    @staticmethod
    def _fill_sgd(tensor: CTensor, group: dict[str, Any], weight: nn.Parameter, state: dict[str, Any]) -> None:
        tensor.average = None
        if group["momentum"]:
            tensor.is_first = state.get("momentum_buffer") is None
            if tensor.is_first:
                state["momentum_buffer"] = torch.zeros_like(weight, memory_format=torch.preserve_format)
            tensor.average = state["momentum_buffer"].data_ptr()

    @staticmethod
    def _fill_adam(tensor: CTensor, group: dict[str, Any], weight: nn.Parameter, state: dict[str, Any]) -> None:
        if not state:
            state["step"] = torch.zeros((), dtype=torch.get_default_dtype())
            for name in ("exp_avg", "exp_avg_sq"):
                state[name] = torch.zeros_like(weight, memory_format=torch.preserve_format)
        step = float(state["step"]) + 1
        tensor.average, tensor.square = state["exp_avg"].data_ptr(), state["exp_avg_sq"].data_ptr()
        beta1, beta2 = group["betas"]
        tensor.correction1, tensor.correction2 = 1 - beta1**step, math.sqrt(1 - beta2**step)
