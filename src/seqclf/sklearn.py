"""A scikit-learn estimator: plain lists of sequences in, labels out, for whatever scikit-learn does with estimators.

It needs the extra `sklearn`: `pip install "seqclf[sklearn]"`.
"""

import copy
import inspect
from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from typing_extensions import Self

from seqclf.cells.protocol import CellFactory
from seqclf.checks import check_int
from seqclf.choices import CellName, PoolingName, PositionsName, ScheduleName, TokenizerName
from seqclf.data.dataset import SequenceDataset
from seqclf.defaults import Auto
from seqclf.errors import InvalidArgumentError, InvalidDataError, MissingDependencyError
from seqclf.fields import check_fields
from seqclf.inference.logits import compute_logits
from seqclf.inference.predict import encode_for, predict_proba
from seqclf.models.classifier import RNNClassifier
from seqclf.models.options import ModelOptions
from seqclf.reading.columns import as_list
from seqclf.reading.plain import is_missing, plain
from seqclf.reading.sequences import read_sequences
from seqclf.training.fit import OptimizerFactory, fit
from seqclf.training.stopping import EarlyStopping
from seqclf.training.weights import SampleWeight, sample_weights
from seqclf.vocabulary import Vocabulary

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils import Tags, check_random_state, column_or_1d
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted
except ImportError as error:
    raise MissingDependencyError(
        f'seqclf.sklearn must have scikit-learn; got {error}. Install it with: pip install "seqclf[sklearn]"'
    ) from error

__all__ = ["SequenceClassifier"]


class SequenceClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A recurrent classifier of whole sequences, as a scikit-learn estimator.

    `X` is a list of strings, of token lists or of float arrays (T, F), each as long as it likes; an array of which each
    row is a sequence, so that a float array (n, T) is n series of one feature and (n, T, F) is n series of F; or a
    column of a data frame. `y` holds any labels; an array (n, C) of 0 and 1 says which of several each sequence has.
    Cloning, pickling, `cross_val_score`, `GridSearchCV`, `Pipeline` and `CalibratedClassifierCV` work as with any
    classifier.

    Args:
        cell: As for `RNNClassifier.for_dataset`, and so are `embedding_dim`, `hidden_size`, `num_layers`,
            `bidirectional`, `dropout`, `pooling`, `positions` and `ngrams`: what is `"auto"` is chosen by the data.
        embedding_dim: The size of the vectors that stand for symbols.
        hidden_size: The size of the state.
        num_layers: The number of layers.
        bidirectional: Whether each layer also reads backwards.
        dropout: The probability with which outputs between layers and pooled features are dropped in training.
        pooling: What makes one vector of the states.
        positions: Which distances from the ends are read.
        ngrams: Of how many symbols n-grams are known.
        tokenizer: What splits strings, as for `SequenceDataset.from_sequences`.
        fields: What the steps of records have, likewise.
        min_freq: How often a symbol must occur in training to get an id of its own.
        epochs: As for `fit`, and so are `batch_size`, `schedule`, `class_weight`, `label_smoothing`, `clip_grad_norm`
            and `device`: what is `"auto"` is chosen by the data.
        batch_size: How many sequences make one update.
        learning_rate: The learning rate of AdamW.
        optimizer: A callable that makes another optimiser from the model's parameters, with a learning rate of its
            own; `learning_rate` must then be left alone.
        schedule: How the learning rate goes, by name.
        class_weight: The weight of each class: `"balanced"`, or a mapping from labels.
        label_smoothing: The part of each label that is spread over all classes.
        clip_grad_norm: The largest norm of the gradient.
        early_stopping: When to stop early. Where it watches the validation data, `validation_fraction` of the training
            data is kept apart for that; equal sequences stay on one side.
        validation_fraction: How much that is.
        random_state: The seed of weights, batches, dropout and that split: an integer or a `RandomState`; None draws
            one.
        device: Where to train and predict.
        model_options: Further arguments of `RNNClassifier`, by name.
        fit_options: Further arguments of `fit`, by name.
        verbose: Whether to show progress.

    Attributes:
        classes_: The labels, sorted: the columns of `predict_proba`.
        model_: The trained `RNNClassifier`, for all that the library does with one.
        history_: The `History` of the training.

    Example:
        >>> from sklearn.model_selection import GridSearchCV
        >>> from seqclf.sklearn import SequenceClassifier
        >>> X = ["aab", "aba", "bba", "bab", "aa", "ba"] * 4
        >>> y = ["a", "a", "b", "b", "a", "b"] * 4
        >>> search = GridSearchCV(SequenceClassifier(epochs=15, batch_size=4), {"hidden_size": [4, 16]}, cv=2)
        >>> search.fit(X, y).predict(["aabb", "b"])
        array(['a', 'b'], dtype='<U1')
    """

    def __init__(
        self,
        *,
        cell: CellName | CellFactory | Auto = "auto",
        embedding_dim: int | Auto = "auto",
        hidden_size: int | Auto = "auto",
        num_layers: int | Auto = "auto",
        bidirectional: bool | Auto = "auto",
        dropout: float | Auto = "auto",
        pooling: PoolingName | Sequence[PoolingName] | nn.Module | Auto = "auto",
        positions: PositionsName | Auto | None = "auto",
        ngrams: int | Sequence[int] | Auto | None = "auto",
        tokenizer: TokenizerName | Any = None,
        fields: Any = None,
        min_freq: int = 1,
        epochs: int | Auto = "auto",
        batch_size: int = 32,
        learning_rate: float | Auto | None = "auto",
        optimizer: OptimizerFactory | None = None,
        schedule: ScheduleName | Auto | None = "auto",
        class_weight: Any = None,
        label_smoothing: float | Auto = "auto",
        clip_grad_norm: float | Auto | None = "auto",
        early_stopping: EarlyStopping | None = None,
        validation_fraction: float = 0.1,
        random_state: Any = 0,
        device: torch.device | str = "auto",
        model_options: Mapping[str, Any] | None = None,
        fit_options: Mapping[str, Any] | None = None,
        verbose: bool = False,
    ) -> None:
        self.cell = cell
        self.embedding_dim = embedding_dim
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.dropout = dropout
        self.pooling = pooling
        self.positions = positions
        self.ngrams = ngrams
        self.tokenizer = tokenizer
        self.fields = fields
        self.min_freq = min_freq
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.schedule = schedule
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
        self.clip_grad_norm = clip_grad_norm
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.device = device
        self.model_options = model_options
        self.fit_options = fit_options
        self.verbose = verbose

    def fit(self, X: Any, y: Any, sample_weight: SampleWeight | None = None) -> Self:  # noqa: N803 - scikit-learn's name
        """Train on labelled sequences; what was learned before is forgotten.

        Args:
            X: The sequences.
            y: Their labels.
            sample_weight: The weight of each sequence, as for `seqclf.fit`.

        Raises:
            InvalidDataError: As `SequenceDataset.from_sequences`.
            InvalidArgumentError: As `RNNClassifier` and `seqclf.fit`.
        """
        sequences, labels = _sequences(X), _labels(y)
        several = labels.ndim == 2
        classes = np.arange(labels.shape[1]) if several else np.unique(labels)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        data = self._encode(sequences, labels if several else labels.tolist(), classes.tolist())
        weights, train, validation = sample_weights(sample_weight, data), data, None
        if self.early_stopping is not None and self.early_stopping.monitor.startswith("val_"):
            kept, apart = data.split_indices(self.validation_fraction, seed=seed)
            train, validation = data.subset(kept), data.subset(apart)
            weights = None if weights is None else weights[kept]
        own = {"seed": seed, **self._own(ModelOptions.__annotations__)}
        model = RNNClassifier.for_dataset(train, **_merge(own, self.model_options, "model_options"))
        own = {
            "validation_data": validation,
            "sample_weight": weights,
            "seed": seed,
            "progress": bool(self.verbose),
            **self._own(inspect.signature(fit).parameters),
        }
        history = fit(model, train, **_merge(own, self.fit_options, "fit_options"))
        self.classes_, self.model_, self.history_ = classes, model.eval(), history  # all or, where it failed, none
        return self

    def _own(self, known: Container[str]) -> dict[str, Any]:
        """Return those arguments that are known elsewhere; copies, as training must not change what was given."""
        return {name: copy.deepcopy(value) for name, value in self.get_params(deep=False).items() if name in known}

    def predict_proba(self, X: Any) -> npt.NDArray[np.floating[Any]]:  # noqa: N803
        """Return the probability of each class for each sequence: (n, C), columns as `classes_`."""
        check_is_fitted(self, "model_")
        return predict_proba(self.model_, self._read(X))

    def _read(self, X: Any) -> list[Any]:  # noqa: N803
        return _sequences(X, are_floats=self.model_.input_size is not None and self.model_.fields is None)

    def predict_log_proba(self, X: Any) -> npt.NDArray[np.floating[Any]]:  # noqa: N803
        """Return the logarithms of what `predict_proba` returns."""
        check_is_fitted(self, "model_")
        logits = compute_logits(self.model_, encode_for(self.model_, self._read(X)), batch_size=256)
        logarithms: npt.NDArray[np.floating[Any]] = torch.from_numpy(logits).log_softmax(1).numpy()
        return logarithms

    def predict(self, X: Any) -> npt.NDArray[Any]:  # noqa: N803
        """Return the most probable label of each sequence, (n,); or 0 and 1 for each label, (n, C)."""
        probabilities = self.predict_proba(X)
        if self.model_.multi_label:
            return (probabilities >= self.model_.thresholds.numpy()).astype(np.int64)
        labels: npt.NDArray[Any] = self.classes_[probabilities.argmax(1)]
        return labels

    def _encode(self, sequences: list[Any], labels: Any, classes: list[Any]) -> SequenceDataset:
        options = self.model_options or {}
        if options.get("empty") == "skip":
            raise InvalidArgumentError("empty must be 'error' or 'zero' here; got 'skip'. Every sequence gets a label.")
        vocabulary = None
        min_freq = check_int("min_freq", self.min_freq)
        names, _, _ = check_fields(self.fields)
        kind = read_sequences(sequences, names=names).kind if sequences else "features"
        if kind in {"text", "tokens"}:
            vocabulary = Vocabulary.build(sequences, min_freq=min_freq, tokenizer=self.tokenizer)
        elif self.tokenizer is not None:
            raise InvalidArgumentError(f"tokenizer must be None for {kind}; got one. Leave it out.")
        return SequenceDataset.from_sequences(
            sequences,
            labels,
            vocabulary=vocabulary,
            fields=self.fields,
            multi_label=isinstance(labels, np.ndarray),
            classes=classes,
            channels_first=options.get("channels_first", False),
            allow_empty=options.get("empty", "error") != "error",
            allow_missing=options.get("missing", "error") != "error",
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.classifier_tags.multi_label = True
        tags.input_tags.string = True
        tags.input_tags.allow_nan = (self.model_options or {}).get("missing", "error") != "error"
        return tags


def _sequences(X: Any, *, are_floats: bool = False) -> list[Any]:  # noqa: N803
    """Return the sequences as a list; lists of floats, which scikit-learn takes for arrays, become arrays."""
    if hasattr(X, "toarray"):
        raise InvalidDataError("sequences must not be a sparse matrix. Pass X.toarray(), or lists of what is not 0.")
    if isinstance(X, np.ndarray) and np.iscomplexobj(X):
        raise InvalidDataError("Complex data not supported: pass the real and the imaginary part as two features.")
    if hasattr(X, "columns") and hasattr(X, "to_numpy"):  # a frame of numbers is an array, one of one column a column
        frame: Any = X
        values = frame.to_numpy()
        X = values if np.issubdtype(values.dtype, np.number) else values[:, 0] if values.shape[1] == 1 else X  # noqa: N806
    items = as_list(X)
    if are_floats or any(map(_holds_floats, items)):
        return [_as_array(item, index) for index, item in enumerate(items)]
    return items


def _is_listed(item: Any) -> bool:
    return isinstance(item, list | tuple) or (isinstance(item, np.ndarray) and item.dtype == object)


def _holds_floats(item: Any) -> bool:
    """Tell whether a list is one of numbers with floats, or of rows of numbers."""
    rows = [one if isinstance(one, list | tuple) else [one] for one in item] if _is_listed(item) else []
    return any(isinstance(one, float | np.floating) for row in rows for one in row) and all(
        isinstance(one, int | float | np.number) for row in rows for one in row
    )


def _as_array(item: Any, index: int) -> Any:
    try:
        return np.asarray(item, dtype=np.float64) if _is_listed(item) else item
    except (TypeError, ValueError) as error:
        raise InvalidDataError(
            f"sequences of numbers must be arrays (T,) or (T, F); got {item!r:.80} (sequence {index}): {error}."
        ) from None


def _labels(y: Any) -> npt.NDArray[Any]:
    """Return the labels as an array, (n,); or 0 and 1 for each of several, (n, C)."""
    if y is None:
        raise InvalidDataError("SequenceClassifier requires y to be passed, but the target y is None.")
    if isinstance(y, list | tuple) or not hasattr(y, "dtype") or y.dtype == object or hasattr(y, "to_numpy"):
        for index, label in enumerate(as_list(y, "labels")):
            if is_missing(plain(label)):
                raise InvalidDataError(f"labels must be known; got {label!r} (sequence {index}). Leave it out.")
    given: Any = y
    rows: Any = given.toarray() if hasattr(given, "toarray") else given
    if isinstance(rows, list) and rows and isinstance(rows[0], list | tuple | np.ndarray):
        table: Any = np.array(rows) if len({len(row) for row in rows}) == 1 else rows
    else:
        table = rows
    if getattr(table, "ndim", 1) == 2 and table.shape[1] > 1 and np.isin(np.asarray(table), (0, 1)).all():
        return np.asarray(table)
    labels: npt.NDArray[Any] = column_or_1d(y, warn=True)
    if np.issubdtype(labels.dtype, np.floating) and not (finite := np.isfinite(labels)).all():
        index = int(finite.argmin())
        raise InvalidDataError(f"labels must be finite; got {labels[index]} (sequence {index}). Correct or remove it.")
    check_classification_targets(labels)
    return labels


def _merge(own: dict[str, Any], further: Mapping[str, Any] | None, name: str) -> dict[str, Any]:
    """Return arguments with those that the user adds by name."""
    if twice := own.keys() & (further or {}).keys():
        raise InvalidArgumentError(
            f"{name} must not name what the estimator sets itself; got {sorted(twice)}. Use its own arguments."
        )
    return own | dict(further or {})
