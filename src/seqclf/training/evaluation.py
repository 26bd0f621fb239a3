"""Evaluation: what was measured on labelled sequences, one by one, and the figures that follow from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from seqclf import metrics
from seqclf.checks import check_choice, check_int, check_probability
from seqclf.data.dataset import SequenceDataset
from seqclf.data.duplicates import Groups
from seqclf.errors import InvalidArgumentError, MissingDependencyError
from seqclf.metrics import ClassCounts, ClassMetrics
from seqclf.notebook import html_table
from seqclf.reading.columns import as_list
from seqclf.reading.labels import read_groups
from seqclf.reading.plain import is_missing, plain
from seqclf.training.interval import Interval, bootstrap
from seqclf.training.mistakes import Mistakes, find_mistakes
from seqclf.training.slices import Slices, bands_of

__all__ = ["Coverage", "Evaluation"]

_UNKNOWN = "(missing)"  # the slice of those that have no value


class Coverage(NamedTuple):
    """What is left where unsure answers are left open.

    Attributes:
        share: The part of the sequences that get an answer.
        accuracy: The part of these answers that is right; 0 where there are none.
    """

    share: float
    accuracy: float


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What `evaluate` found: loss, accuracy, macro-F1, confusion matrix, figures by class, intervals.

    Attributes:
        losses: The negative log-likelihood of the true class of each sequence, in nats: float64 of shape (n,), in the
            order of the dataset.
        labels: The true class indices, int64 of shape (n,); or 0 and 1 for each class, (n, C), where a sequence may
            have several labels.
        predictions: The predicted class indices, or labels, likewise.
        classes: The labels of the classes.
        groups: Which sequences are equal, as `SequenceDataset.groups`; by default none are.
        confidences: The probability that the model gave to each predicted class, float64 of shape (n,); None where they
            are not known.
        probabilities: The probability of each class, float64 (n, C), where they were asked for, or a sequence may have
            several labels; else None.
        lengths: The number of steps of each sequence, int64 (n,); None where they are not known.
        metrics: What the `metrics` that were given to `evaluate` came to, by name.

    Example:
        >>> import numpy as np
        >>> result = Evaluation(np.full(4, 0.5), np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), ("cat", "dog"))
        >>> result.accuracy, result.n, result.per_class["cat"].recall
        (0.75, 4, 0.5)
        >>> result.confusion_matrix
        array([[1, 1],
               [0, 2]])
        >>> result
        Evaluation(n=4, loss=0.5000, accuracy=75.0 %, macro_f1=0.733, majority=50.0 %)
    """

    losses: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64]
    predictions: npt.NDArray[np.int64]
    classes: tuple[Any, ...]
    groups: Groups = None  # type: ignore[assignment]  # filled in below
    confidences: npt.NDArray[np.float64] | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    probabilities: npt.NDArray[np.float64] | None = None
    lengths: npt.NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if self.groups is None:
            object.__setattr__(self, "groups", np.arange(self.n))

    @property
    def n(self) -> int:
        """The number of sequences."""
        return len(self.labels)

    @property
    def loss(self) -> float:
        """The mean negative log-likelihood of the true class, in nats; of several labels, of each of the C answers."""
        return float(self.losses.mean())

    @property
    def hits(self) -> npt.NDArray[np.bool_]:
        """Whether the predicted class, or all labels, of each sequence are the true ones: shape (n,)."""
        hits: npt.NDArray[np.bool_] = self.labels == self.predictions
        return np.asarray(hits if hits.ndim == 1 else hits.all(1))

    @property
    def multi_label(self) -> bool:
        """Whether a sequence may have several labels."""
        return self.labels.ndim == 2

    @property
    def accuracy(self) -> float:
        """The part of the sequences whose predicted class is the true one; of several labels, all of them."""
        return float(self.hits.mean())

    @property
    def micro_f1(self) -> float:
        """The F1 of all answers together: the accuracy, where each sequence has one label."""
        return metrics.micro_f1(self._counts)

    @property
    def average_precision(self) -> float:
        """The mean over classes of how well their probability ranks sequences, each class against all others.

        Raises:
            InvalidArgumentError: The probabilities are not known.
        """
        probabilities = self._known_probabilities("an average precision")
        found = metrics.average_precision(self._membership, probabilities)
        return float(np.nanmean(found)) if np.isfinite(found).any() else 0.0

    @property
    def roc_auc(self) -> float:
        """The mean over classes of how often a member gets a higher probability than another sequence.

        Classes without a member, or with members alone, are left out; 0.5 where none is left.

        Raises:
            InvalidArgumentError: The probabilities are not known.
            MissingDependencyError: scikit-learn is not installed.

        References:
            `sklearn.metrics.roc_auc_score`, each class against all others.
        """
        probabilities = self._known_probabilities("an area under the ROC curve")
        try:
            from sklearn.metrics import roc_auc_score  # noqa: PLC0415  # optional
        except ImportError as error:
            raise MissingDependencyError(
                f"roc_auc must have scikit-learn; got {error}. Install it with: pip install scikit-learn"
            ) from error
        members = self._membership
        told = [place for place in range(members.shape[1]) if 0 < members[:, place].sum() < self.n]
        found = [roc_auc_score(members[:, place], probabilities[:, place]) for place in told]
        return float(np.mean(found)) if found else 0.5

    def top_k_accuracy(self, k: int) -> float:
        """Return the part of the sequences whose true class is among the `k` likeliest.

        Raises:
            InvalidArgumentError: The probabilities are not known, or sequences may have several labels.

        Example:
            >>> import numpy as np
            >>> found = np.array([[0.5, 0.3, 0.2], [0.1, 0.3, 0.6]])
            >>> labels = np.array([1, 0])
            >>> result = Evaluation(np.ones(2), labels, found.argmax(1), ("a", "b", "c"), probabilities=found)
            >>> result.top_k_accuracy(2)
            0.5
        """
        check_int("k", k)
        probabilities = self._known_probabilities("a top-k accuracy")
        if self.multi_label:
            raise InvalidArgumentError("top_k_accuracy must have one label for each sequence; got several.")
        best = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
        return float((best == self.labels[:, None]).any(1).mean())

    @property
    def _membership(self) -> npt.NDArray[np.int64]:
        """0 and 1 for each class, (n, C), whatever the kind of labels."""
        return self.labels if self.multi_label else np.eye(len(self.classes), dtype=np.int64)[self.labels]

    def _known_probabilities(self, what: str) -> npt.NDArray[np.float64]:
        if self.probabilities is None:
            raise InvalidArgumentError(
                f"probabilities must be known to tell {what}; got None. Measure with evaluate(..., "
                "keep_probabilities=True)."
            )
        return self.probabilities

    def coverage(self, reject_below: float) -> Coverage:
        """Return what is left, and how much of it is right, where `predict` leaves unsure answers open.

        Args:
            reject_below: The least probability that an answer must have, as for `predict`.

        Raises:
            InvalidArgumentError: The confidences are not known, or `reject_below` is no probability.

        Example:
            >>> import numpy as np
            >>> labels, sure = np.array([0, 0, 1, 1]), np.array([0.9, 0.4, 0.6, 0.7])
            >>> result = Evaluation(np.full(4, 0.5), labels, np.array([0, 1, 1, 1]), ("cat", "dog"), confidences=sure)
            >>> result.coverage(0.5)
            Coverage(share=0.75, accuracy=1.0)
        """
        check_probability("reject_below", reject_below)
        answered = self._known_confidences(1) >= reject_below
        return Coverage(float(answered.mean()), float(self.hits[answered].mean()) if answered.any() else 0.0)

    def mistakes(self, dataset: SequenceDataset, *, most: int | None = None) -> Mistakes:
        """Return the sequences that got a wrong answer, the surest first; equal ones of one label stand there once.

        Args:
            dataset: What was measured.
            most: How many to return at most; None is all.

        Raises:
            InvalidArgumentError: The dataset is another, or `most` is no number of at least 1.

        Example:
            >>> import torch
            >>> from seqclf import RNNClassifier, SequenceDataset, evaluate
            >>> data = SequenceDataset.from_pairs([("aab", "a"), ("bba", "b"), ("bba", "b"), ("bba", "a")])
            >>> model = RNNClassifier.for_dataset(data, seed=0)
            >>> _ = model.head.bias.data.copy_(torch.tensor([-9.0, 9.0]))  # which answers b, whatever it reads
            >>> for row in evaluate(model, data).mistakes(data):
            ...     print(row.index, row.sequence, row.label, row.predicted, row.count)
            0 aab a b 1
            3 bba a b 1
        """
        return find_mistakes(self, dataset, None if most is None else check_int("most", most))

    def by(self, values: Any) -> Slices:
        """Return the figures for each value of something, such as a column: a mapping that prints as a table.

        Args:
            values: What each sequence has: `n` values in the order of the dataset; or `"length"`, for four bands of
                lengths.

        Raises:
            InvalidArgumentError: There are more or fewer values, or the lengths are not known.
        """
        if isinstance(values, str):
            if values != "length":
                raise InvalidArgumentError(
                    f"values must be 'length', or a value for each sequence, such as a column; got {values!r:.80}."
                )
            if self.lengths is None:
                raise InvalidArgumentError("lengths must be known to tell bands of them; got None. Use evaluate.")
            numbers, names = bands_of(self.lengths)
            return Slices({name: self.subset(numbers == band) for band, name in enumerate(names)})
        values = [_UNKNOWN if is_missing(value) else plain(value) for value in as_list(values, "values")]
        numbers = read_groups(values, self.n, "values")
        order = np.argsort(-np.bincount(numbers), kind="stable")
        first = np.unique(numbers, return_index=True)[1]
        return Slices({values[first[number]]: self.subset(numbers == number) for number in order})

    def subset(self, chosen: Any) -> "Evaluation":
        """Return what was measured on some of the sequences: indices, or a mask (n,). `metrics` are left out."""
        parts: dict[str, Any] = {
            name: None if getattr(self, name) is None else getattr(self, name)[chosen]
            for name in ("losses", "labels", "predictions", "confidences", "probabilities", "lengths")
        }
        return Evaluation(classes=self.classes, groups=np.unique(self.groups[chosen], return_inverse=True)[1], **parts)

    @property
    def confusion_matrix(self) -> npt.NDArray[np.int64]:
        """How often each true class (row) was predicted as each class (column): int64 of shape (C, C).

        Raises:
            InvalidArgumentError: Sequences may have several labels, so that there are no pairs of classes.
        """
        if self.multi_label:
            raise InvalidArgumentError(
                "confusion_matrix must have one label for each sequence; got several. See per_class."
            )
        return metrics.confusion_matrix(self.labels, self.predictions, len(self.classes))

    @property
    def _counts(self) -> ClassCounts:
        return metrics.count_classes(self.labels, self.predictions, len(self.classes))

    @property
    def macro_f1(self) -> float:
        """The mean F1 of the classes that occur among labels or predictions, each counting the same."""
        return metrics.macro_f1(self._counts)

    @property
    def per_class(self) -> dict[Any, ClassMetrics]:
        """Precision, recall, F1 and support of each class."""
        return dict(zip(self.classes, metrics.class_metrics(self._counts), strict=True))

    def calibration_error(self, bins: int = 15) -> float:
        """Return the expected calibration error: how far confidence and accuracy are apart, from 0 up to 1.

        Predictions are put into bins of equal width by the probability that the model gave them; in each bin the mean
        probability is compared with the accuracy, and the differences are averaged, each bin counting as often as it
        has predictions. `calibrate` makes it smaller.

        Args:
            bins: How many.

        Raises:
            InvalidArgumentError: `bins` is not a number from 1 up, or the confidences are not known, or are no numbers.

        References:
            Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, ICML 2017, equation 3.

        Example:
            >>> import numpy as np
            >>> labels, sure = np.array([0, 0, 1, 1]), np.array([0.9, 0.9, 0.9, 0.9])
            >>> result = Evaluation(np.full(4, 0.5), labels, np.array([0, 1, 1, 1]), ("cat", "dog"), confidences=sure)
            >>> round(result.calibration_error(), 3)
            0.15
        """
        return metrics.calibration_error(self._known_confidences(bins), self.hits, bins)

    def reliability(
        self, bins: int = 15
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return what a reliability diagram shows: for each bin of confidence, how sure and how right the model is.

        Args:
            bins: How many bins of equal width there are.

        Returns:
            The number of predictions in each bin, their mean confidence, and the part of them that is right, each of
            shape (bins,); zeros where a bin is empty.

        Raises:
            InvalidArgumentError: As `calibration_error`.

        Example:
            >>> import numpy as np
            >>> labels, sure = np.array([0, 0, 1, 1]), np.array([0.9, 0.9, 0.6, 0.6])
            >>> result = Evaluation(np.full(4, 0.5), labels, np.array([0, 0, 0, 1]), ("cat", "dog"), confidences=sure)
            >>> counts, confidence, accuracy = result.reliability(2)
            >>> counts.tolist(), accuracy.tolist()
            ([0, 4], [0.0, 0.75])
        """
        return metrics.reliability(self._known_confidences(bins), self.hits, bins)

    def _known_confidences(self, bins: int) -> npt.NDArray[np.float64]:
        """Return the confidences, once it is sure that they can be put into `bins`."""
        check_int("bins", bins)
        if self.confidences is None:
            raise InvalidArgumentError(
                "confidences must be known to tell a calibration error; got None. Measure with evaluate."
            )
        if not np.isfinite(self.confidences).all():
            index = int(np.flatnonzero(~np.isfinite(self.confidences))[0])
            raise InvalidArgumentError(
                f"confidences must be numbers; got {self.confidences[index]} (sequence {index}). The weights of the "
                "model have gone wrong: train it with a lower learning rate."
            )
        return self.confidences

    @property
    def majority(self) -> float:
        """The accuracy of always answering the most frequent class, or set of labels: what any model must beat."""
        if self.multi_label:
            return float(np.unique(self.labels, axis=0, return_counts=True)[1].max() / self.n)
        return float(np.bincount(self.labels).max() / self.n)

    def interval(
        self,
        measure: Literal["accuracy", "loss", "macro_f1", "micro_f1"] = "accuracy",
        *,
        level: float = 0.95,
        resamples: int = 1000,
        seed: int = 0,
    ) -> Interval:
        """Return a measure with its confidence interval: what other test sequences of the same kind might have given.

        By the bootstrap over groups of equal sequences, which get equal answers and so count as one observation. The
        interval of an accuracy of 0 or 1, which the bootstrap would take for certain, is that of Clopper and Pearson.
        What another training run would have given is another matter, which takes several seeds.

        Args:
            measure: `"accuracy"`, `"loss"`, `"macro_f1"` or `"micro_f1"`.
            level: The probability that the interval is to have.
            resamples: How many samples to draw.
            seed: The seed of the draws.

        Raises:
            InvalidArgumentError: An argument is out of range.

        Example:
            >>> import numpy as np
            >>> result = Evaluation(np.full(4, 0.5), np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), ("cat", "dog"))
            >>> result.interval("accuracy")
            Interval(0.7500, 95 %: 0.2500 to 1.0000)
        """
        interval = bootstrap(
            lambda weights: weighted_measure(self, measure, weights),
            self.groups,
            level=level,
            resamples=resamples,
            seed=seed,
        )
        if measure == "accuracy" and interval.value in {0.0, 1.0}:
            reach = 1 - ((1 - level) / 2) ** (1 / (int(self.groups.max()) + 1))
            return Interval(interval.value, max(0.0, interval.value - reach), min(1.0, interval.value + reach), level)
        return interval

    def to_dict(self) -> dict[str, Any]:
        """Return all figures as strings, numbers, lists and dicts alone, ready for JSON.

        Only `metrics` are left out, as they may be of any kind.
        """
        return {
            "n": self.n,
            "loss": self.loss,
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "majority": self.majority,
            "classes": [label if isinstance(label, str | int) else str(label) for label in self.classes],
            **(
                {"micro_f1": self.micro_f1, "average_precision": self.average_precision}
                if self.multi_label
                else {"confusion_matrix": self.confusion_matrix.tolist()}
            ),
            "per_class": {str(label): vars(row) for label, row in self.per_class.items()},
        }

    def __repr__(self) -> str:
        micro = f", micro_f1={self.micro_f1:.3f}" if self.multi_label else ""
        return (
            f"Evaluation(n={self.n}, loss={self.loss:.4f}, accuracy={self.accuracy:.1%}, macro_f1={self.macro_f1:.3f}"
            f"{micro}, majority={self.majority:.1%})"
        ).replace("%", " %")

    def _repr_html_(self) -> str:
        rows = [
            (label, f"{row.precision:.3f}", f"{row.recall:.3f}", f"{row.f1:.3f}", f"{row.support:,}")
            for label, row in self.per_class.items()
        ]
        return html_table([repr(self)], ("class", "precision", "recall", "F1", "support"), rows)


def weighted_measure(result: Evaluation, measure: str, weights: npt.NDArray[np.float64]) -> float:
    """Return a measure of `result` when each sequence counts as often as its weight says."""
    check_choice("measure", measure, ("accuracy", "loss", "macro_f1", "micro_f1"))
    if measure in {"macro_f1", "micro_f1"}:
        counts = metrics.count_classes(result.labels, result.predictions, len(result.classes), weights)
        return metrics.macro_f1(counts) if measure == "macro_f1" else metrics.micro_f1(counts)
    return float(weights @ (result.hits if measure == "accuracy" else result.losses) / weights.sum())
