"""A rehearsal before training: what cannot work is known before the first update, and nothing is kept of it.

Parts of the user's own (cells, poolings, subclasses, optimisers, schedulers) are tried on a batch; what they change is
put back. The library's own need no trial.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import LBFGS, SparseAdam
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

from seqclf.errors import InvalidArgumentError, SeqclfError
from seqclf.inference.logits import compute_logits
from seqclf.modes import has_modes
from seqclf.seeding import Draws
from seqclf.training.run import Run
from seqclf.training.steps import Steps
from seqclf.training.trainer import Trainer


def check_trainable(model: nn.Module) -> None:
    """Raise where no weight of a model takes part in training."""
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InvalidArgumentError(
            "model must have weights to train; got one whose weights are all frozen. Call requires_grad_(True) on what "
            "training shall change."
        )


def rehearse(run: Run, epochs: int) -> bool:
    """Try what a run needs of the user's own parts, and return whether the model draws at random.

    Raises:
        InvalidArgumentError: One of them cannot do what is needed; the message says which, and what else to do.
    """
    trainer = run.trainer
    check_trainable(trainer.model)
    _check_scheduler(trainer, (epochs - run.epoch) * len(run.sampler))
    _check_optimizer(trainer)
    if trainer.objective.loss is not None:
        _try_loss(trainer, run)
    is_foreign = has_modes(trainer.model)
    if not is_foreign and _is_of_torch(trainer.optimizer) and _is_of_torch(trainer.scheduler):
        return bool(trainer.model.weight_dropout)
    with _put_back(trainer):
        trainer.model.train()
        with Draws(run.sampler.seed) as draws:
            _try_batches(run, trainer.make_steps(run.train))
        _try_update(trainer)
    if is_foreign and run.validation_data is not None:
        with _told("model", "answer a sequence in eval mode", trainer.model):
            compute_logits(trainer.model, run.validation_data.sequences.select([0]), 1)
    return bool(draws.have_drawn)


def _try_batches(run: Run, steps: Steps) -> None:
    """Compute the gradients of a batch of two, and of the smallest batch that will come."""
    sizes = np.array([len(indices) for indices in run.sampler.arrays()])
    for count in dict.fromkeys([min(2, len(run.train)), int(sizes.min())]):
        what = f"make a training step of {count} {'sequence' if count == 1 else 'sequences'}"
        with _told("model", what, run.model):
            (data,) = steps.batches([np.arange(count)])
            steps.compute_gradients(data, run.sampler.seed, 0)


def _try_loss(trainer: Trainer, run: Run) -> None:
    """Go back from a loss of the user's own, for two sequences whose logits are 0."""
    labels = run.train.labels[:2].to(trainer.model.device)
    logits = torch.zeros(
        len(labels), trainer.model.num_classes, device=labels.device, dtype=trainer.model.head.weight.dtype
    ).requires_grad_()
    with _told("loss", "take logits (B, C) and labels", trainer.objective.loss):
        trainer.objective(logits, labels, torch.arange(len(labels))).backward()  # type: ignore[no-untyped-call]
    if logits.grad is None or not bool(logits.grad.isfinite().all()):
        raise InvalidArgumentError(
            "loss must have a finite gradient by the logits; got none for logits of 0. Compute it from them by torch."
        )


def _try_update(trainer: Trainer) -> None:
    if not _is_of_torch(trainer.optimizer):
        with _told("optimizer", "take a step", trainer.optimizer):
            trainer.optimizer.step()
    if trainer.scheduler is not None and not _is_of_torch(trainer.scheduler):
        with _told("scheduler", "take a step", trainer.scheduler):
            trainer.scheduler.step()


def _is_of_torch(part: Any) -> bool:
    return part is None or type(part).__module__.startswith("torch.optim")


def _check_optimizer(trainer: Trainer) -> None:
    if isinstance(trainer.optimizer, LBFGS):
        raise InvalidArgumentError(
            "optimizer must take a step without computing the loss anew; got LBFGS, which needs a closure. Pass "
            "torch.optim.AdamW or SGD."
        )
    if isinstance(trainer.optimizer, SparseAdam):
        raise InvalidArgumentError(
            "optimizer must take dense gradients, as those of all layers are; got SparseAdam. Pass torch.optim.Adam."
        )


def _check_scheduler(trainer: Trainer, updates: int) -> None:
    scheduler, by_step = trainer.scheduler, trainer.interval == "step"
    if isinstance(scheduler, ReduceLROnPlateau) and by_step:
        raise InvalidArgumentError(
            "scheduler must not be ReduceLROnPlateau where scheduler_interval is 'step', as it is given what an epoch "
            "has come to. Pass scheduler_interval='epoch'."
        )
    if isinstance(scheduler, OneCycleLR) and by_step and scheduler.total_steps < updates:
        raise InvalidArgumentError(
            f"scheduler must have a step for each of the {updates} updates; got OneCycleLR with "
            f"{scheduler.total_steps}. Pass total_steps={updates}."
        )


@contextmanager
def _told(name: str, what: str, part: Any) -> Iterator[None]:
    """Turn whatever goes wrong into an error that says what was tried."""
    try:
        yield
    except SeqclfError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise InvalidArgumentError(
            f"{name} must be able to {what}; {type(part).__name__} raised {type(error).__name__}: {error!s:.300}"
        ) from error


@contextmanager
def _put_back(trainer: Trainer) -> Iterator[None]:
    """Put weights, optimiser and scheduler back as they were, whatever happens inside."""
    model, optimizer, scheduler = trainer.model, trainer.optimizer, trainer.scheduler
    weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    gradients = [parameter.grad for parameter in trainer.parameters]
    before = copy.deepcopy(optimizer.state_dict())
    of_scheduler = None if scheduler is None else copy.deepcopy(scheduler.state_dict())
    others = [parameter.detach().clone() for parameter in trainer.parameters]
    try:
        yield
    finally:
        model.load_state_dict(weights)
        for parameter, value, gradient in zip(trainer.parameters, others, gradients, strict=True):
            parameter.data.copy_(value)
            parameter.grad = gradient
        optimizer.load_state_dict(before)
        if scheduler is not None and of_scheduler is not None:
            scheduler.load_state_dict(of_scheduler)
