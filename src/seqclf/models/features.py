"""Float features on their way into a model: standardised, and with missing values dealt with."""

import math
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence
from typing_extensions import Self

from seqclf.choices import MissingPolicy
from seqclf.fields import Fields
from seqclf.reading.sequences import warn

_MOST_OFFSET = 30.0  # standard deviations from zero; and less than that is no offset

_FIRST_ID = 2  # of a category that is known


class Features(nn.Module):
    """Standardises each feature by what was measured on the training data, and fills in missing values (NaN).

    Args:
        input_size: The number of features F of a step.
        standardize: Whether to take off the mean and divide by the standard deviation of each feature.
        missing: What to do with NaN: `"mean"` is the feature's training mean; `"forward"` is its last known value in
            the same sequence, and the mean before there is one; `"indicator"` is the mean, and F more features tell
            with 1 what was missing and with 0 what was not; `"error"` lets nothing of the kind come so far.

    Attributes:
        num_features: F.
        output_size: The number of features that come out: F, or 2 * F with indicators.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, input_size: int, standardize: bool, missing: MissingPolicy) -> None:
        super().__init__()
        self.num_features = input_size
        self.standardize = standardize
        self.missing = missing
        self.output_size = input_size * (2 if missing == "indicator" else 1)
        if standardize or missing != "error":  # otherwise there is nothing to keep
            self.register_buffer("mean", torch.zeros(input_size, dtype=torch.float64))
            self.register_buffer("scale", torch.ones(input_size, dtype=torch.float64))

    @property
    def owners(self) -> list[int]:
        """Which feature each of those that come out tells of: an indicator, of the feature that is missing."""
        return [number % self.num_features for number in range(self.output_size)]

    def fit(self, values: Tensor) -> None:
        """Measure the mean and the standard deviation of each feature over all steps (N, F), NaN left out.

        A feature that never changes, or is never known, is divided by 1.
        """
        if "mean" not in self._buffers:
            return
        values = values.double()
        known = ~values.isnan()
        counts = known.sum(0).clamp(min=1)
        mean = values.nan_to_num().sum(0) / counts
        scale = ((values - mean).nan_to_num().square().sum(0) / counts).sqrt()
        self.mean.copy_(mean)
        if self.standardize:
            self.scale.copy_(torch.where(scale > 1e-12 * mean.abs(), scale, 1.0))  # rounding is no change

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """Move the measures with the model, but keep their digits: a clock's mean needs more than float32 has."""
        measures = {name: buffer for name, buffer in self._buffers.items() if buffer is not None}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, before in measures.items():
            after = self._buffers[name]
            assert after is not None
            if after.dtype != before.dtype and not after.is_meta:
                self._buffers[name] = before.to(after.device)
        return self

    def forward(self, inputs: Tensor | PackedSequence, dtype: torch.dtype = torch.float32) -> Tensor | PackedSequence:
        """Return the features (B, T, output_size), or a packed batch of them, in the type of the encoder's weights."""
        if "mean" not in self._buffers:
            return inputs.to(dtype)
        if self.missing == "forward" and isinstance(inputs, PackedSequence):
            inputs, _ = pad_packed_sequence(inputs, batch_first=True)
        if isinstance(inputs, PackedSequence):
            return inputs._replace(data=self._prepare(inputs.data, dtype))
        if self.missing == "forward":
            inputs = fill_forward(inputs)
        return self._prepare(inputs, dtype)

    def prepare(self, values: Tensor, lengths: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the features (N, output_size) of sequences one behind the other, (N, F), of lengths (B,)."""
        if "mean" not in self._buffers:
            return values.to(dtype)
        if self.missing == "forward":
            starts = torch.repeat_interleave(lengths.cumsum(0) - lengths, lengths)[:, None]  # (N, 1)
            values = _last_known(values, starts)
        return self._prepare(values, dtype)

    def nothing(self, rows: Tensor, dtype: torch.dtype) -> Tensor:
        """Return what stands for steps that say nothing, as many as rows (..., F): means, or zeros without."""
        mean = getattr(self, "mean", None)
        filled = torch.zeros_like(rows) if mean is None else mean.to(rows).expand_as(rows)
        return cast(Tensor, self(filled, dtype))

    def _prepare(self, steps: Tensor, dtype: torch.dtype) -> Tensor:
        """Fill in the mean for what is missing, standardise, and add indicators: (..., F) to (..., output_size).

        All is computed in float64, which holds what large numbers differ by, and only then cast.
        """
        wide = torch.float32 if steps.device.type == "mps" else torch.float64  # which Apple's GPUs do not have
        steps, mean, scale = steps.to(wide), self.mean.to(wide), self.scale.to(wide)
        is_missing = steps.isnan()
        filled = torch.where(is_missing, mean, steps)
        prepared = ((filled - mean) / scale if self.standardize else filled).to(dtype)
        return torch.cat([prepared, is_missing.to(dtype)], dim=-1) if self.missing == "indicator" else prepared


class FieldFeatures(nn.Module):
    """Reads rows of records: numbers as features, and a vector for the id of each category, side by side.

    Args:
        fields: What the columns of rows are.
        standardize: As for `Features`, of numbers.
        missing: Likewise.
        embedding_dim: The largest size of the vectors of a category; those of fewer ids are smaller.

    Attributes:
        output_size: The number of features that come out.
    """

    def __init__(self, fields: Fields, standardize: bool, missing: MissingPolicy, embedding_dim: int) -> None:
        super().__init__()
        self.places = fields.categories
        self.number_places = fields.numbers
        self.numbers = Features(len(self.number_places), standardize, missing)
        tables = [nn.Embedding(size, min(embedding_dim, _width_for(size))) for size in fields.sizes]
        for table in tables:
            nn.init.zeros_(table.weight[:_FIRST_ID])  # what no training data have says nothing
        self.categories = nn.ModuleList(tables)
        self.output_size = self.numbers.output_size + sum(table.embedding_dim for table in tables)

    @property
    def owners(self) -> list[int]:
        """Which field each of the features that come out tells of."""
        found = [self.number_places[number] for number in self.numbers.owners]
        for place, table in zip(self.places, self.categories, strict=True):
            found += [place] * cast(nn.Embedding, table).embedding_dim
        return found

    def fit(self, values: Tensor) -> None:
        """Measure the numbers over all steps (N, F)."""
        self.numbers.fit(values[:, self.number_places])

    def forward(self, inputs: Tensor | PackedSequence, dtype: torch.dtype = torch.float32) -> Tensor | PackedSequence:
        """Return the features (B, T, output_size), or a packed batch of them, in the type of the encoder's weights."""
        if self.numbers.missing == "forward" and isinstance(inputs, PackedSequence):
            inputs, _ = pad_packed_sequence(inputs, batch_first=True)
        rows: Tensor = inputs.data if isinstance(inputs, PackedSequence) else inputs
        joined = self._join(self.numbers(rows[..., self.number_places], dtype), rows)
        return inputs._replace(data=joined) if isinstance(inputs, PackedSequence) else joined

    def prepare(self, values: Tensor, lengths: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the features (N, output_size) of sequences one behind the other, (N, F), of lengths (B,)."""
        return self._join(self.numbers.prepare(values[:, self.number_places], lengths, dtype), values)

    def _join(self, numbers: Tensor, rows: Tensor) -> Tensor:
        """Put the vectors of categories beside numbers: (..., F) to (..., output_size)."""
        parts = [numbers]
        for place, table in zip(self.places, self.categories, strict=True):
            ids = ids_of(rows[..., place], cast(nn.Embedding, table).num_embeddings)
            parts.append(table(ids).to(numbers.dtype))
        return torch.cat(parts, dim=-1)

    def nothing(self, rows: Tensor, dtype: torch.dtype) -> Tensor:
        """Return what stands for steps that say nothing, as many as rows (..., F): means, and zeros for categories."""
        numbers = self.numbers.nothing(rows[..., self.number_places], dtype)
        width = self.output_size - self.numbers.output_size
        return torch.cat([numbers, numbers.new_zeros(*numbers.shape[:-1], width)], dim=-1)


def _width_for(size: int) -> int:
    """Return how large vectors of a category of so many ids are: few ids need few features.

    References:
        The rule of thumb of fastai's tabular models, https://docs.fast.ai/tabular.model.html.
    """
    return min(size, round(1.6 * math.pow(size, 0.56)))


def ids_of(column: Tensor, size: int) -> Tensor:
    """Return the ids of a category from a column of rows; what is none of `size` is unknown, such as padding."""
    is_known = (column >= 0) & (column < size)  # which NaN is not
    return torch.where(is_known, column, 1.0).long()


def fill_forward(steps: Tensor) -> Tensor:
    """Replace NaN by the last known value of the same feature: (B, T, F); NaN stays before there is one."""
    rows, length, features = steps.shape
    starts = torch.arange(0, rows * length, max(1, length), device=steps.device).repeat_interleave(length)[:, None]
    return _last_known(steps.reshape(rows * length, features), starts).view(steps.shape)


def _last_known(values: Tensor, starts: Tensor) -> Tensor:
    """Likewise for steps (N, F) one behind the other; `starts` (N, 1) are where their sequences start."""
    numbers = torch.arange(len(values), device=values.device)[:, None]  # (N, 1)
    last = torch.where(values.isnan(), -1, numbers).cummax(0).values  # (N, F)
    return torch.where(last < starts, torch.nan, values.gather(0, last.clamp(min=0)))


def warn_of_offsets(values: Tensor) -> None:
    """Warn where a feature of steps (N, F) lies far from zero beside how much it changes: a model sees a constant."""
    values = values.double()
    mean = values.nanmean(0)
    spread = (values - mean).square().nanmean(0).sqrt()
    wrong = torch.nonzero((mean.abs() > _MOST_OFFSET * spread) & (mean.abs() > _MOST_OFFSET) & (spread > 0))
    if len(wrong):
        feature = int(wrong[0])
        warn(
            f"feature {feature} lies around {float(mean[feature]):.4g} and changes by {float(spread[feature]):.3g} "
            "only (standard deviation), of which a model sees next to nothing. Pass standardize=True."
        )
