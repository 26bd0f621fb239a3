"""A scikit-learn estimator: plain lists of sequences in, labels out, for whatever scikit-learn does with estimators.

It needs the extra `sklearn`: `pip install "seqclf[sklearn]"`.
"""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.optim import AdamW, Optimizer
from typing_extensions import Self

from seqclf.cells.protocol import CellFactory
from seqclf.cells.table import CellName
from seqclf.checks import check_int
from seqclf.data.convert import as_list
from seqclf.data.dataset import SequenceDataset
from seqclf.data.encode import are_features
from seqclf.errors import InvalidArgumentError, InvalidDataError, MissingDependencyError
from seqclf.models.classifier import RNNClassifier
from seqclf.models.pooling import PoolingName
from seqclf.training.fit import fit
from seqclf.training.inference import predict_proba
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

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]


class SequenceClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A recurrent classifier of whole sequences, as a scikit-learn estimator.

    `X` is a list of strings, of token lists or of float arrays (T, F), each as long as it likes; an array of which each
    row is a sequence, so that a float array (n, T) is n series of one feature and (n, T, F) is n series of F; or a
    column of a data frame. `y` holds any labels. Cloning, pickling, `cross_val_score`, `GridSearchCV`, `Pipeline` and
    `CalibratedClassifierCV` work as with any classifier.

    Args:
        cell: As for `RNNClassifier`, and so are `embedding_dim`, `hidden_size`, `num_layers`, `bidirectional`,
            `dropout` and `pooling`.
        embedding_dim: The size of the vectors that stand for symbols.
        hidden_size: The size of the state.
        num_layers: The number of layers.
        bidirectional: Whether each layer also reads backwards.
        dropout: The probability with which outputs between layers and pooled features are dropped in training.
        pooling: What makes one vector of the states.
        min_freq: How often a symbol must occur in training to get an id of its own.
        epochs: As for `fit`, and so are `batch_size`, `class_weight`, `label_smoothing`, `clip_grad_norm` and `device`.
        batch_size: How many sequences make one update.
        learning_rate: The learning rate of AdamW.
        optimizer: A callable that makes another optimiser from the model's parameters; `learning_rate` then says
            nothing.
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
        cell: CellName | CellFactory = "lstm",
        embedding_dim: int = 64,
        hidden_size: int = 128,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        pooling: PoolingName | Sequence[PoolingName] | nn.Module = "last",
        min_freq: int = 1,
        epochs: int = 10,
        batch_size: int = 32,
        learning_rate: float = 0.002,
        optimizer: OptimizerFactory | None = None,
        class_weight: Any = None,
        label_smoothing: float = 0.0,
        clip_grad_norm: float | None = None,
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
        self.min_freq = min_freq
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimizer = optimizer
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
        sequences = _sequences(X)
        if y is None:
            raise InvalidDataError("SequenceClassifier requires y to be passed, but the target y is None.")
        y = column_or_1d(y, warn=True)
        if np.issubdtype(y.dtype, np.floating) and not (finite := np.isfinite(y)).all():
            index = int(finite.argmin())
            raise InvalidDataError(f"labels must be finite; got {y[index]} (sequence {index}). Correct or remove it.")
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        train, validation, weights = self._parts(sequences, y.tolist(), sample_weight, seed)
        model = RNNClassifier.for_dataset(
            train,
            cell=self.cell,
            embedding_dim=self.embedding_dim,
            hidden_size=self.hidden_size,
            num_layers=self.num_layers,
            bidirectional=self.bidirectional,
            dropout=self.dropout,
            pooling=copy.deepcopy(self.pooling),  # a module of the user's own is a parameter, and stays as it is
            seed=seed,
            **(self.model_options or {}),
        )
        self.history_ = fit(
            model,
            train,
            validation_data=validation,
            epochs=self.epochs,
            batch_size=self.batch_size,
            optimizer=self.optimizer or (lambda weights: AdamW(weights, lr=self.learning_rate, fused=True)),
            class_weight=self.class_weight,
            sample_weight=weights,
            label_smoothing=self.label_smoothing,
            clip_grad_norm=self.clip_grad_norm,
            early_stopping=self.early_stopping,
            seed=seed,
            device=self.device,
            progress=bool(self.verbose),
            **(self.fit_options or {}),
        )
        self.model_ = model.eval()
        return self

    def predict_proba(self, X: Any) -> npt.NDArray[np.floating[Any]]:  # noqa: N803
        """Return the probability of each class for each sequence: (n, C), columns as `classes_`."""
        check_is_fitted(self)
        return predict_proba(self.model_, _sequences(X))

    def predict_log_proba(self, X: Any) -> npt.NDArray[np.floating[Any]]:  # noqa: N803
        """Return the logarithms of what `predict_proba` returns."""
        logarithms: npt.NDArray[np.floating[Any]] = np.log(self.predict_proba(X))
        return logarithms

    def predict(self, X: Any) -> npt.NDArray[Any]:  # noqa: N803
        """Return the most probable label of each sequence: (n,)."""
        probabilities = self.predict_proba(X)
        labels: npt.NDArray[Any] = self.classes_[probabilities.argmax(1)]
        return labels

    def _parts(
        self, sequences: list[Any], labels: list[Any], sample_weight: SampleWeight | None, seed: int
    ) -> tuple[SequenceDataset, SequenceDataset | None, Any]:
        """Return the training data, the validation data if any are wanted, and the weights of the training data."""
        whole = self._encode(sequences, labels)
        weights = sample_weights(sample_weight, whole)
        if self.early_stopping is None or not self.early_stopping.monitor.startswith("val_"):
            return whole, None, weights
        kept, apart = whole.split_indices(self.validation_fraction, seed=seed)
        train, validation = (
            ([sequences[index] for index in side], [labels[index] for index in side])
            for side in (kept.tolist(), apart.tolist())
        )
        data = self._encode(*train)
        return data, self._encode(*validation, data.vocabulary), None if weights is None else weights[kept]

    def _encode(self, sequences: list[Any], labels: list[Any], vocabulary: Vocabulary | None = None) -> SequenceDataset:
        options = self.model_options or {}
        if options.get("empty") == "skip":
            raise InvalidArgumentError("empty must be 'error' or 'zero' here; got 'skip'. Every sequence gets a label.")
        if vocabulary is None and sequences and not are_features(sequences):
            vocabulary = Vocabulary.build(sequences, min_freq=check_int("min_freq", self.min_freq))
        return SequenceDataset.from_sequences(
            sequences,
            labels,
            vocabulary=vocabulary,
            classes=self.classes_.tolist(),
            channels_first=options.get("channels_first", False),
            allow_empty=options.get("empty", "error") != "error",
            allow_missing=options.get("missing", "error") != "error",
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        tags.input_tags.allow_nan = (self.model_options or {}).get("missing", "error") != "error"
        return tags


def _sequences(X: Any) -> list[Any]:  # noqa: N803
    """Return the sequences as a list; lists of floats, which scikit-learn takes for arrays, become arrays."""
    if hasattr(X, "toarray"):
        raise InvalidDataError("sequences must not be a sparse matrix. Pass X.toarray(), or lists of what is not 0.")
    if isinstance(X, np.ndarray) and np.iscomplexobj(X):
        raise InvalidDataError("Complex data not supported: pass the real and the imaginary part as two features.")
    if hasattr(X, "columns") and hasattr(X, "to_numpy"):  # a frame of numbers is an array, one of one column a column
        values = X.to_numpy()
        X = values if np.issubdtype(values.dtype, np.number) else values[:, 0] if values.shape[1] == 1 else X  # noqa: N806
    items = as_list(X)
    if items and isinstance(items[0], list) and items[0] and isinstance(items[0][0], float | list):
        return [np.asarray(item, dtype=np.float64) for item in items]
    return items
