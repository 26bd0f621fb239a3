"""The laws of batching, tried on one model in one mode: which ways to put sequences through it must agree."""

import copy
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence, pad_sequence

from seqclf.data.ragged import Ragged
from seqclf.engine.kernels import NativeStream, Packed
from seqclf.errors import InvalidArgumentError, InvalidDataError
from seqclf.inference.logits import add_context, compute_logits, native_batch
from seqclf.models.classifier import RNNClassifier
from seqclf.seeding import Draws
from seqclf.verify.report import LawResult


@dataclass(frozen=True)
class _Run:
    """One way to put the sequences through the model.

    Attributes:
        batches: The numbers of the sequences of each batch, each sequence in one of them.
        extra: How many steps of padding to add.
        other_value: Whether the padding is a valid id or NaN, in place of zeros.
        packed: Whether the batches are packed.
        threads: How many threads compute; None as many as torch is told to use.
        calls: How many times to call the model; the last call counts.
        execution: What `model.execution` is set to, if not None.
    """

    batches: list[list[int]]
    extra: int = 0
    other_value: bool = False
    packed: bool = False
    threads: int | None = None
    calls: int = 1
    execution: str | None = None


@dataclass(frozen=True)
class _Outcome:
    """The logits (n, C) and the gradient of each weight; or what was raised in their place."""

    logits: Tensor
    gradients: dict[str, Tensor]
    error: Exception | None = None


@dataclass(frozen=True)
class Examination:
    """All laws in one mode.

    Attributes:
        model: The model; copies of it are run.
        sequences: Sequences of ids or features, none empty.
        training: Whether the copies are put into training mode, otherwise into eval mode.
        gradients: Whether gradients are compared, too.
        tolerances: The largest differences that count as rounding, in logits and in gradients.
        seed: The seed of what a model draws.
        context: Facts about the sequences, (n, K), for a model that takes them.
    """

    model: nn.Module
    sequences: list[Tensor]
    training: bool
    gradients: bool
    tolerances: tuple[float, float]
    seed: int
    context: Tensor | None = None

    @property
    def mode(self) -> str:
        """The name of the mode."""
        return "train" if self.training else "eval"

    def results(self) -> Iterator[LawResult]:
        """Look at one law after the other.

        Raises:
            InvalidArgumentError: The model takes neither single sequences nor a batch, so nothing can be compared.
        """
        everything = list(range(len(self.sequences)))
        alone = self._outcome(_Run([[number] for number in everything]))
        batch = self._outcome(_Run([everything]))
        if alone.error and batch.error:
            raise InvalidArgumentError(
                f"model must take padded steps and lengths, and return logits (B, C); it raised {_name(batch.error)} "
                f"(in {self.mode} mode). Wrap it in a module whose forward does."
            ) from batch.error
        pairs = [everything[start : start + 2] for start in everything[::2]]
        yield self._compare("a batch, not each alone", alone, batch)
        yield self._compare("batches of two", alone, self._outcome(_Run(pairs)))
        runs = {
            "the same batch a second time": _Run([everything], calls=2),
            "another order": _Run([everything[::-1]]),
            "more padding": _Run([everything], extra=3),
            "other values in the padding": _Run([everything], extra=3, other_value=True),
        }
        if isinstance(self.model, RNNClassifier):
            runs["packed, not padded"] = _Run([everything], packed=True)
            runs["one thread"] = _Run([everything], threads=1)
        for law, run in runs.items():
            yield self._compare(law, batch, self._outcome(run))
        if isinstance(self.model, RNNClassifier):
            yield from self._other_backends(self.model, batch, everything)
            if not self.training:
                yield from self._other_doors(self.model, alone)

    def _other_backends(self, model: RNNClassifier, batch: _Outcome, everything: list[int]) -> Iterator[LawResult]:
        """Compare the kernels: they round differently."""
        for execution in ("native", "padded", "packed"):
            law = f"execution={execution!r}"
            exact = self.is_exact and model.execution in {"auto", execution} and execution == "native"
            yield self._compare(law, batch, self._outcome(_Run([everything], execution=execution)), exact=exact)

    def _other_doors(self, model: RNNClassifier, alone: _Outcome) -> Iterator[LawResult]:
        """Compare the other ways to an answer: many sequences that begin alike, one at a time, and step by step."""
        store = _store_of(self.sequences, self.context)
        doors: dict[str, Callable[[], Any]] = {
            "predict, beginnings shared": lambda: compute_logits(model, store, 2),
        }
        plan = model.plan_inference(store.lengths)
        if plan.scope == "classifier":
            packed = Packed(model.parts, full_table=True)
            doors["Predictor, one at a time"] = lambda: np.concatenate(
                [self._run_one(model, packed, store, np.array([i])) for i in range(len(store))]
            )
            if not model.bidirectional:
                doors["every prefix at once"] = lambda: self._last_prefixes(model, packed, store)
                doors["a stream, step by step"] = lambda: self._streamed(model, packed, store)
        for law, door in doors.items():
            try:
                found = _Outcome(torch.from_numpy(door()), {})
            except Exception as error:  # noqa: BLE001  # whatever a user's model raises breaks the law
                found = _Outcome(torch.empty(0), {}, error)
            yield self._compare(law, replace(alone, gradients={}, logits=alone.logits.cpu()), found)

    @staticmethod
    def _run_one(model: RNNClassifier, packed: Packed, store: Ragged, index: Any) -> Any:
        return add_context(model, packed.run(native_batch(model, store, index)), store, index)

    @staticmethod
    def _last_prefixes(model: RNNClassifier, packed: Packed, store: Ragged) -> Any:
        everything = np.arange(len(store))
        every = add_context(model, packed.run_prefixes(native_batch(model, store, everything)), store, everything)
        return every[everything, store.lengths.numpy() - 1]

    @staticmethod
    def _streamed(model: RNNClassifier, packed: Packed, store: Ragged) -> Any:
        found = []
        for index in range(len(store)):
            batch, stream = native_batch(model, store, np.array([index])), NativeStream(packed)
            start = int(batch.starts[0])
            for step in batch.values[start : start + int(batch.lengths[0])]:
                logits = stream.push(step[None])
            found.append(add_context(model, torch.from_numpy(logits[None]), store, np.array([index]))[0])
        return np.stack(found)

    @property
    def is_exact(self) -> bool:
        """Whether logits are promised to the last bit: by the compiled kernels."""
        if not isinstance(self.model, RNNClassifier):
            return False
        lengths = torch.tensor([len(sequence) for sequence in self.sequences])
        with torch.set_grad_enabled(self.gradients):
            return self.model.plan(lengths).scope == "classifier"

    def _outcome(self, run: _Run) -> _Outcome:
        model = copy.deepcopy(self.model).train(self.training)
        for module in model.modules():
            if isinstance(module, nn.modules.dropout._DropoutNd):
                module.eval()
            elif isinstance(module, nn.RNNBase):
                module.train()  # its kernels on CUDA have no gradient in eval mode, and its dropout is all that differs
                module.dropout = 0.0
        if run.execution is not None:
            model.execution = run.execution  # type: ignore[assignment]
        try:
            for _ in range(run.calls):
                model.zero_grad()
                parts = [(numbers, self._call(model, numbers, run)) for numbers in run.batches]
        except Exception as error:  # noqa: BLE001  # whatever a user's model raises breaks the law
            return _Outcome(torch.empty(0), {}, error)
        logits = torch.cat([part for _, part in parts])
        order = torch.tensor([number for numbers, _ in parts for number in numbers]).argsort()
        found = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
        return _Outcome(logits[order.to(logits.device)], found)

    def _call(self, model: nn.Module, numbers: list[int], run: _Run) -> Tensor:
        """Return the logits of some sequences, and add the gradients of a fixed combination of them to the weights."""
        device = next(model.parameters()).device
        chosen = [self.sequences[number].to(device) for number in numbers]
        lengths = torch.tensor([len(sequence) for sequence in chosen])
        takes_keys = "keys" in inspect.signature(model.forward).parameters
        keys = {"keys": torch.tensor(numbers)} if takes_keys else {}
        if self.context is not None:
            keys["context"] = self.context[numbers].to(device)
        with Draws(self.seed), torch.set_grad_enabled(self.gradients), _threads(run.threads):
            if run.packed:
                logits = model(pack_sequence(chosen, enforce_sorted=False), **keys)
            else:
                logits = model(self._pad(chosen, run), lengths, **keys)
            if logits.ndim != 2 or len(logits) != len(numbers):
                raise InvalidDataError(
                    f"a model must return logits of shape ({len(numbers)}, C); got {tuple(logits.shape)}. "
                    "Return one row for each sequence."
                )
            if logits.requires_grad:
                generator = torch.Generator()
                probe = [torch.randn(logits.shape[1], generator=generator.manual_seed(number)) for number in numbers]
                (logits * torch.stack(probe).to(logits)).sum().backward()
        detached: Tensor = logits.detach()
        return detached

    def _pad(self, sequences: list[Tensor], run: _Run) -> Tensor:
        value: float = 0
        if run.other_value:
            value = self._other_value()
        padded = pad_sequence(sequences, batch_first=True, padding_value=value)
        more = padded.new_full((padded.shape[0], run.extra, *padded.shape[2:]), value)
        return torch.cat([padded, more], dim=1)

    def _other_value(self) -> float:
        """Return what else may stand in the padding: an id that occurs, NaN, or a number.

        Where a model computes on NaN and then leaves the results out, gradients are still NaN, though its answers are
        right; that is no fault of a hand-written model.
        """
        if not self.sequences[0].is_floating_point():
            return int(max(part.max() for part in self.sequences))
        return torch.nan if isinstance(self.model, RNNClassifier) else 7.0

    def _compare(self, law: str, expected: _Outcome, got: _Outcome, *, exact: bool | None = None) -> LawResult:
        tolerances = (0.0 if (self.is_exact if exact is None else exact) else self.tolerances[0], self.tolerances[1])
        error = expected.error or got.error
        if error:
            return LawResult(law, self.mode, torch.inf, 0, None, "", *tolerances, _name(error))
        by_row = _difference(expected.logits, got.logits).amax(1)
        gradient, parameter = None, ""
        names = expected.gradients.keys() | got.gradients.keys()
        if names:
            by_name = {
                name: float(_difference(expected.gradients.get(name), got.gradients.get(name)).max()) for name in names
            }
            parameter = max(sorted(by_name), key=lambda name: by_name[name])
            gradient = by_name[parameter]
        row = int(by_row.argmax())
        return LawResult(law, self.mode, float(by_row[row]), row, gradient, parameter, *tolerances)


def _store_of(sequences: list[Tensor], context: Tensor | None) -> Ragged:
    lengths = torch.tensor([0, *(len(sequence) for sequence in sequences)])
    return Ragged(torch.cat(sequences).cpu(), lengths.cumsum(0), context=context)


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    try:
        if count is not None:
            torch.set_num_threads(count)
        yield
    finally:
        torch.set_num_threads(before)


def _name(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _difference(expected: Tensor | None, got: Tensor | None) -> Tensor:
    """Return the absolute differences as a part of the largest expected value, or of 1; no tensor counts as zeros."""
    expected = torch.zeros_like(got) if expected is None else expected  # type: ignore[arg-type]
    got = torch.zeros_like(expected) if got is None else got
    expected, got = expected.double(), got.double()
    difference = (expected - got).abs() / expected.abs().max().clamp(min=1)
    return difference.nan_to_num(nan=torch.inf, posinf=torch.inf)
