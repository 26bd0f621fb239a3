"""fit: train a classifier, epoch by epoch."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from seqclf.checks import check_choice, check_int, check_positive, check_seed
from seqclf.choices import ScheduleName
from seqclf.data.dataset import SequenceDataset
from seqclf.data.sampling import BucketBatchSampler
from seqclf.defaults import Auto
from seqclf.errors import InvalidArgumentError
from seqclf.files import PathLike
from seqclf.forks import leave_lost_threads
from seqclf.inference.predict import check_is_dataset, validate_dataset
from seqclf.models.classifier import RNNClassifier, check_is_model
from seqclf.modes import in_usual_modes
from seqclf.progress import say
from seqclf.seeding import Draws
from seqclf.training.checkpoint import Checkpoint, Checkpoints
from seqclf.training.config import TrainingConfig
from seqclf.training.distributed import is_launched
from seqclf.training.evaluate import Metric
from seqclf.training.finite import check_weights
from seqclf.training.history import History
from seqclf.training.hooks import Callback, FitState, as_callbacks, defines
from seqclf.training.interrupt import deferred_interrupts
from seqclf.training.log import Log
from seqclf.training.measures import Measures
from seqclf.training.objective import Loss, Objective
from seqclf.training.rehearsal import rehearse
from seqclf.training.run import Run
from seqclf.training.schedules import make_scheduler
from seqclf.training.stopping import EarlyStopping, StopEarly, check_monitor
from seqclf.training.trainer import SchedulerFactory, Trainer
from seqclf.training.weights import ClassWeight, SampleWeight, class_weights, sample_weights

__all__ = ["fit"]

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]
Metrics = str | Metric | Sequence[str | Metric] | Mapping[str, Metric]
AnyCallback = Callback | Callable[[FitState], Any]


@in_usual_modes
def fit(
    model: RNNClassifier,
    train: SequenceDataset,
    *,
    validation_data: SequenceDataset | None = None,
    epochs: int | Auto = "auto",
    initial_epoch: int = 0,
    batch_size: int = 32,
    max_tokens: int | None = None,
    learning_rate: float | Auto | None = "auto",
    weight_decay: float | Auto | None = "auto",
    optimizer: Optimizer | OptimizerFactory | None = None,
    schedule: ScheduleName | Auto | None = "auto",
    warmup: float | None = None,
    scheduler: LRScheduler | SchedulerFactory | None = None,
    scheduler_interval: Literal["epoch", "step"] | None = None,
    loss: Loss | None = None,
    metrics: Metrics = (),
    accumulate: int = 1,
    clip_grad_norm: float | Auto | None = "auto",
    class_weight: ClassWeight | None = None,
    sample_weight: SampleWeight | None = None,
    label_smoothing: float | Auto = "auto",
    early_stopping: EarlyStopping | Auto | None = "auto",
    callbacks: AnyCallback | Sequence[AnyCallback] = (),
    seed: int = 0,
    device: torch.device | str = "auto",
    checkpoint: PathLike | Checkpoint | None = None,
    resume: bool = False,
    dry_run: bool = False,
    progress: bool = True,
) -> History:
    """Train `model` on `train` by minimising the mean negative log-likelihood, and return what was measured.

    What is `"auto"` is chosen by the data, as docs/defaults.md says; `history.config` tells what it was. With an
    `optimizer` of one's own nothing is added: then `"auto"` is ten epochs, and no schedule, clipping, smoothing or
    early stopping.

    Batches hold sequences of like lengths and come in a new random order each epoch. Validation runs after each epoch
    in eval mode and without gradients. The same model, data, arguments and seed give the same weights on the same
    machine; torch's global random state is left as it was.

    With `checkpoint` the state of the run is written into a folder while it goes on: at the end of each epoch and every
    minute, or as a `Checkpoint` says. A run that was killed at any moment goes on with `resume=True` and the same
    arguments, and ends, on the same machine, with the same weights and measures bit for bit as one that was never
    interrupted; only `seconds` differ. `epochs` may be changed where no `schedule` goes by them. The first Ctrl-C
    writes the state and returns what was measured, `stopped_by` being `"interrupted"`; the second stops at once. Of
    callbacks that is written which their `state_dict` returns.

    In processes that `torchrun` started, all train one model together: each has a share of every batch, and the result
    is that of one process.

    Args:
        model: The model. It is trained in place, and moved to `device`.
        train: The training data, encoded with the model's vocabulary.
        validation_data: What `val_loss` and `val_accuracy` are measured on.
        epochs: How many times to go through the data, at most. `"auto"` is 20, more for few data and fewer for very
            many.
        initial_epoch: How many of these are done already, by calls before; this one makes the others. Each epoch has
            an order of batches and choices of dropout of its own, so a second call without it repeats those of the
            first.
        batch_size: How many sequences make one batch, and with `accumulate=1` one update.
        max_tokens: The most steps that a batch may hold, padding included: sequences times the length of the longest.
            Where that is less than `batch_size` sequences, fewer make the update. None is no limit.
        learning_rate: The learning rate of the default optimiser, at the top of a schedule; None is `"auto"`, 0.003.
        weight_decay: The weight decay of the default optimiser; None is `"auto"`, 0.01.
        optimizer: A torch optimiser over the model's parameters, or a callable that makes one from them, with a
            learning rate of its own. None is AdamW with `learning_rate` and `weight_decay`.
        schedule: How the learning rate goes from the first update to the last: `"one_cycle"`, `"cosine"`, `"linear"`
            or `"constant"`; None is constant.
        warmup: The share of the updates in which the rate of a `schedule` rises first; None is 0.3 for `"one_cycle"`
            and 0 for others.
        scheduler: Another way to steer the learning rate, in place of `schedule`: a torch scheduler over the optimiser,
            or a callable that makes one from it. `ReduceLROnPlateau` is given `val_loss`, or `loss` where there are no
            validation data.
        scheduler_interval: Whether the scheduler steps after each `"epoch"` or each `"step"` (update). None is
            `"step"` for `OneCycleLR` and `CyclicLR`, which are made for that, and `"epoch"` for all others.
        loss: What to minimise in place of the cross-entropy: a function of logits (B, C) and labels, int64 (B,), or 0
            and 1 for each class, (B, C), that returns a value for each sequence, (B,). `class_weight` and
            `sample_weight` multiply these. The losses that are measured stay the negative log-likelihood.
        metrics: What else to measure on the validation data after each epoch: `"macro_f1"`, `"micro_f1"`,
            `"calibration_error"`, `"average_precision"`, `"roc_auc"`, `"top_3_accuracy"` or the like, and callables as
            `evaluate` takes them: one alone, a list, or a mapping from names. The history has them as `val_macro_f1`
            and so on, and `EarlyStopping` can go by them.
        accumulate: How many batches make one update: their gradients are added up, which is the gradient of all of
            them in one, in the memory that one of them needs.
        clip_grad_norm: The largest norm that the gradient of all weights together may have; longer ones are scaled.
        class_weight: The weight of each class in the loss that is minimised (the measured losses stay plain): a
            mapping from labels, a sequence in the order of `train.classes`, or `"balanced"` for n / (C * n_class).
        sample_weight: The weight of each sequence of `train` in the loss that is minimised, numbers of at least 0, as
            many as there are sequences; those of weight 0, or too small beside the largest for the model's type of
            floats, are left out. The loss of a batch is divided by the sum of its weights, so only ratios count.
        label_smoothing: The part of each label that is spread evenly over all classes in the loss that is minimised
            (the measured losses stay plain), from 0 up to 1.
        early_stopping: When to stop early; None is never. `"auto"`, with validation data, is when their loss has not
            become less for a third of the epochs, at least five; the model ends with its best weights.
        callbacks: What is called on the way, one or several: objects of `seqclf.callbacks.Callback`, or callables that
            are given a `FitState` after each epoch. One that returns True then ends the training.
        seed: The seed of the order of the batches and of dropout.
        device: Where to train: `"auto"` is CUDA where there is one, else the CPU.
        checkpoint: The folder to write the state of the run into, or a `Checkpoint` that also says how often.
        resume: Whether to go on from the last checkpoint in that folder; where there is none, the run begins anew.
        dry_run: Whether to compute the gradients of the largest batch once, before the first epoch, to see whether
            memory suffices; the error says what `max_tokens` would. (Linux lets a process take more memory of the CPU
            than there is, and ends it later, unless a limit is set.)
        progress: Whether to tell on stderr what each epoch has come to, with a bar where somebody watches.

    Raises:
        InvalidArgumentError: An argument is out of range or at odds with another; or there is a checkpoint of other
            data, of other arguments, or, without `resume`, any.
        FileFormatError: The folder of checkpoints cannot be made, or what is in it is damaged.
        InvalidDataError: `train` or `validation_data` do not fit the model.
        TrainingError: A gradient is not finite: the update is not made, and the error tells epoch, update, sequences
            and layer. (On a GPU, which would have to be waited for, the loss of the whole epoch is looked at instead.)
            Or memory does not hold the largest batch of a `dry_run`.

    Example:
        >>> import torch
        >>> from seqclf import RNNClassifier, SequenceDataset, evaluate, fit
        >>> train = SequenceDataset.from_pairs([("aab", "a"), ("aba", "a"), ("bba", "b"), ("bab", "b")] * 8)
        >>> model = RNNClassifier.for_dataset(train, hidden_size=16, seed=0)
        >>> sgd = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
        >>> history = fit(model, train, epochs=20, batch_size=4, optimizer=sgd, progress=False)
        >>> history["loss"][-1] < history["loss"][0], evaluate(model, train).accuracy
        (True, 1.0)
    """
    leave_lost_threads()
    check_is_model("model", model)
    check_int("initial_epoch", initial_epoch, minimum=0)
    check_seed("seed", seed)
    if scheduler_interval is not None:
        check_choice("scheduler_interval", scheduler_interval, ("epoch", "step"))
    train, own_weights, original_indices = _admit_train(model, train, sample_weight)
    if validation_data is not None:
        validation_data = validate_dataset("validation_data", model, validation_data)
    check_weights(model)
    weights = class_weights(class_weight, train)
    parts = BucketBatchSampler(train.sequences.sizes, batch_size, max_tokens=max_tokens, seed=seed)
    sampler = _join(parts, check_int("accumulate", accumulate))
    config = TrainingConfig.of(
        {
            "epochs": epochs,
            "learning_rate": learning_rate,
            "weight_decay": weight_decay,
            "optimizer": optimizer,
            "schedule": schedule,
            "warmup": warmup,
            "scheduler": scheduler,
            "clip_grad_norm": clip_grad_norm,
            "loss": loss,
            "label_smoothing": label_smoothing,
            "early_stopping": early_stopping,
        },
        sampler,
        initial_epoch=initial_epoch,
        validates=validation_data is not None,
    )
    measures, watching = _check_metrics(metrics, validation_data), as_callbacks(callbacks)
    rule = _check_early_stopping(config.early_stopping, validation_data, measures, watching)
    model.to(resolve_device(device))
    objective = Objective(weights, config.label_smoothing, own_weights, _check_loss(loss, class_weight, train))
    made = _make_optimizer(optimizer, config, model)
    trainer = Trainer(
        model,
        made,
        objective,
        clip_grad_norm=config.clip_grad_norm,
        parts=parts,
        accumulate=accumulate,
        original_indices=original_indices,
    )
    if config.schedule is not None:
        scheduler, scheduler_interval = make_scheduler(config.schedule, config.updates, config.warmup), "step"
    trainer.use_scheduler(scheduler, scheduler_interval)
    watching += [StopEarly(rule)] if rule else []
    run = Run(trainer, sampler, train, validation_data, measures, watching, Draws(seed), config, epoch=initial_epoch)
    draws = rehearse(run, config.epochs)
    checkpoints = _open_checkpoints(checkpoint, resume, run)
    is_shown = progress and run.trainer.group.rank == 0
    watching += ([] if checkpoints is None else [checkpoints]) + ([Log()] if is_shown else [])
    if is_shown and config.chosen:
        say(f"fit: {config} (chosen; what is given is kept)")
    with (
        run.draws if draws else nullcontext(),
        deferred_interrupts(wanted=checkpoints is not None) as interruption,
    ):
        if checkpoints is not None and (state := checkpoints.begin(resume=resume)) is not None:
            run.load_state(state)
        run.trainer.group.barrier()  # nobody may write while another still looks for checkpoints
        if dry_run:
            run.try_largest_batch()
        return run.train_epochs(config.epochs, interruption)


def _join(parts: BucketBatchSampler, count: int) -> BucketBatchSampler:
    """Return the batches that updates are made from: as large as so many of those that are computed at once."""
    if count == 1:
        return parts
    max_tokens = None if parts.max_tokens is None else count * parts.max_tokens
    return BucketBatchSampler(parts.lengths, count * parts.batch_size, max_tokens=max_tokens, seed=parts.seed)


def _check_metrics(metrics: Metrics, validation_data: SequenceDataset | None) -> Measures:
    measures = Measures(metrics)
    if measures.names and validation_data is None:
        raise InvalidArgumentError(
            f"metrics must come with validation_data, which they are measured on; got {measures.names} and None there."
        )
    if validation_data is not None:
        measures.rehearse(validation_data)
    return measures


def _check_loss(loss: Loss | None, class_weight: ClassWeight | None, train: SequenceDataset) -> Loss | None:
    if loss is not None and not callable(loss):
        raise InvalidArgumentError(
            f"loss must be a function of logits (B, C) and labels that returns (B,); got {loss!r:.80}."
        )
    if loss is not None and class_weight is not None and train.multi_label:
        raise InvalidArgumentError(
            "class_weight must be None beside a loss of several labels, which is one value for all of them; got some. "
            "Weigh the labels in the loss."
        )
    return loss


def _admit_train(
    model: RNNClassifier, train: SequenceDataset, sample_weight: SampleWeight | None
) -> tuple[SequenceDataset, Tensor | None, Tensor | None]:
    """Return the sequences to train on, their weights, and where they stand in `train`; None where all are left."""
    check_is_dataset("train", train)
    weights = sample_weights(sample_weight, train)
    if weights is None and model.empty != "skip":
        return validate_dataset("train", model, train), None, None
    counts = torch.ones(len(train), dtype=torch.bool)
    if weights is not None:
        counts &= weights >= torch.finfo(model.head.weight.dtype).tiny
    if model.empty == "skip":
        counts &= train.sequences.sizes > 0
    original_indices = torch.nonzero(counts)[:, 0]
    if len(original_indices) == len(train):
        return validate_dataset("train", model, train), weights, None
    return (
        validate_dataset("train", model, train.subset(original_indices)),
        None if weights is None else weights[original_indices],
        original_indices,
    )


def _open_checkpoints(checkpoint: PathLike | Checkpoint | None, resume: bool, run: Run) -> Checkpoints | None:
    if checkpoint is None:
        if resume:
            raise InvalidArgumentError("resume=True needs checkpoint=FOLDER, the folder to go on from; got None.")
        return None
    settings = checkpoint if isinstance(checkpoint, Checkpoint) else Checkpoint(checkpoint)
    return Checkpoints(settings, run.identity(), writes=run.trainer.group.rank == 0)


def _check_early_stopping(
    rule: Any, validation_data: SequenceDataset | None, measures: Measures, callbacks: Sequence[Callback]
) -> EarlyStopping | None:
    if rule is not None and not isinstance(rule, EarlyStopping):
        raise InvalidArgumentError(
            f"early_stopping must be an EarlyStopping; got {rule!r}. Pass EarlyStopping(patience=...)."
        )
    known = ["loss", "accuracy"]
    if validation_data is not None:
        known += [f"val_{name}" for name in ("loss", "accuracy", *measures.names)]
    may_be_added = validation_data is not None and any(defines(one, "on_validation") for one in callbacks)
    watched = [rule.monitor] if rule is not None else []
    watched += [callback.monitor for callback in callbacks if callback.monitor is not None]
    for monitor in watched:
        check_monitor(monitor, known, may_be_added=may_be_added)
    return rule


def resolve_device(device: torch.device | str) -> torch.device:
    """Return the device that is meant; raise where torch cannot use it."""
    if device == "auto":
        number = ":" + os.environ.get("LOCAL_RANK", "0") if is_launched() else ""
        return torch.device(f"cuda{number}" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise InvalidArgumentError(f"device must be one that torch can use; got {device!r}: {reason}") from None


def _make_optimizer(optimizer: Any, config: TrainingConfig, model: RNNClassifier) -> Optimizer:
    rates = {"learning_rate": config.learning_rate, "weight_decay": config.weight_decay}
    if optimizer is None:
        decay = config.weight_decay or 0.0
        if decay:
            check_positive("weight_decay", decay)
        rate = check_positive("learning_rate", config.learning_rate)
        return AdamW(model.parameters(), lr=rate, weight_decay=decay, fused=True)
    for name, value in rates.items():
        if value is not None:
            raise InvalidArgumentError(
                f"{name} must be None beside an optimizer, which has its own; got {value!r}. Give it to the optimizer."
            )
    if callable(optimizer):  # torch's optimisers are not; their classes and other factories are
        try:
            optimizer = optimizer(model.parameters())
        except (TypeError, ValueError) as error:
            raise InvalidArgumentError(
                f"optimizer must make a torch Optimizer from parameters; got {type(error).__name__}: {error}"
            ) from error
    if not isinstance(optimizer, Optimizer):
        raise InvalidArgumentError(
            "optimizer must be a torch Optimizer, or a callable that makes one from parameters; "
            f"got {type(optimizer).__name__}. Pass, for instance, lambda params: torch.optim.SGD(params, lr=0.1)."
        )
    own = set(map(id, model.parameters()))
    if not any(id(parameter) in own for group in optimizer.param_groups for parameter in group["params"]):
        raise InvalidArgumentError(
            "optimizer must hold parameters of the model; got none of them. Make it from model.parameters()."
        )
    return optimizer
