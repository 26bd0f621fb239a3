"""What a linear model makes of sequences: a baseline that any recurrent network should beat.

Legend: n sequences, C classes, F features of a step.
"""

from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from seqclf.data.labelled import LabelledSequences
from seqclf.data.ngrams import MOST_KEYS, ngram_keys
from seqclf.data.ragged import Ragged
from seqclf.errors import InvalidDataError, MissingDependencyError
from seqclf.fields import Fields

# Orders of n-grams: a few letters tell a word; more than three tokens hardly ever come twice.
_LETTERS, _TOKENS = (1, 2, 3, 4), (1, 2, 3)
_MOST_TRAINED = 50_000  # sequences, of which more make it slow and hardly better
_MOST_PLACES = 1_000  # steps of sequences of equal lengths that have weights of their own
_NGRAM_PENALTY, _PLAIN_PENALTY = 30.0, 1.0  # C of scikit-learn: rows of n-grams have length 1


def can_fit() -> bool:
    """Whether scikit-learn is there."""
    return find_spec("sklearn") is not None


def linear_probabilities(train: LabelledSequences, test: LabelledSequences) -> npt.NDArray[np.float64]:
    """Return the probabilities (n, C) that logistic regression gives to the sequences of `test`.

    It sees n-grams of symbols, weighted by tf-idf; each symbol at its place, where all sequences have one length; or,
    of measurements, the mean, spread, extremes, quartiles, ends, slope and roughness of each feature, and the length.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
        InvalidDataError: The two are not of one kind, or one has no sequences.
    """
    if not can_fit():
        raise MissingDependencyError(
            'a linear baseline must have scikit-learn; it is not there. Install it with: pip install "seqclf[sklearn]"'
        )
    if (
        not len(train)
        or not len(test)
        or train.classes != test.classes
        or train.sequences.values.ndim != test.sequences.values.ndim
    ):
        raise InvalidDataError(
            "train and test must be of one kind, with the same classes, and neither must be empty. "
            "Make test with vocabulary=train.vocabulary, classes=train.classes."
        )
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415  # an extra, and slow to import

    chosen = np.sort(np.random.default_rng(0).permutation(len(train))[:_MOST_TRAINED])
    labels = train.labels.numpy()[chosen]
    learned, asked, penalty = _features(train.sequences.select(chosen), test.sequences, train)

    def fit(targets: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return the classes that there are, and their probabilities."""
        known = np.unique(targets)
        if len(known) == 1:
            return known, np.ones((len(test), 1))
        model = LogisticRegression(C=penalty, max_iter=300).fit(learned, targets)
        return known, model.predict_proba(asked)

    probabilities = np.zeros((len(test), len(train.classes)))
    if labels.ndim == 1:
        known, found = fit(labels)
        probabilities[:, known] = found
        return probabilities
    for place, column in enumerate(labels.T):  # each label for itself, where there may be several
        known, found = fit(column)
        probabilities[:, place] = found[:, known == 1].sum(1)
    return probabilities


def _features(train: Ragged, test: Ragged, about: LabelledSequences) -> tuple[Any, Any, float]:
    """Return what a linear model sees of both, (n, ...), and how weakly its weights are held back."""
    vocabulary = about.vocabulary
    if about.fields is not None:
        return *_of_records(train, test, about.fields), _PLAIN_PENALTY
    if train.values.ndim == 2:
        return *_standardised(_summarise(train), _summarise(test)), _PLAIN_PENALTY
    lengths = np.concatenate([train.sizes.numpy(), test.sizes.numpy()])
    if lengths.min() == lengths.max() and 1 < lengths[0] <= _MOST_PLACES:
        from sklearn.preprocessing import OneHotEncoder  # noqa: PLC0415

        encoder = OneHotEncoder(handle_unknown="ignore")
        rows = [sequences.values.numpy().reshape(len(sequences), -1) for sequences in (train, test)]
        return encoder.fit_transform(rows[0]), encoder.transform(rows[1]), _PLAIN_PENALTY
    is_text = vocabulary is not None and vocabulary.has_letters
    return *_ngrams(train, test, is_text=is_text), _NGRAM_PENALTY


def _of_records(train: Ragged, test: Ragged, fields: Fields) -> tuple[Any, Any]:
    """Return what records look like: figures of their numbers, and how often each category comes, sparse (n, M)."""
    from scipy import sparse  # noqa: PLC0415

    numbers = [replace(one, values=one.values[:, fields.numbers], context=None) for one in (train, test)]
    blocks = [[sparse.csr_matrix(part)] for part in _standardised(*map(_summarise, numbers))]
    for place, size in zip(fields.categories, fields.sizes, strict=True):
        for sequences, found in zip((train, test), blocks, strict=True):
            owners = np.repeat(np.arange(len(sequences)), sequences.sizes.numpy())
            ids = sequences.values[:, place].numpy().astype(np.int64)
            shares = 1 / np.maximum(sequences.sizes.numpy(), 1)
            found.append(sparse.diags(shares) @ _counts(owners, ids, len(sequences), size))
    return sparse.hstack(blocks[0]).tocsr(), sparse.hstack(blocks[1]).tocsr()


def _ngrams(train: Ragged, test: Ragged, *, is_text: bool) -> tuple[Any, Any]:
    """Return the tf-idf of n-grams that the training data have, sparse (n, M); texts begin and end with a mark."""
    from scipy import sparse  # noqa: PLC0415
    from sklearn.feature_extraction.text import TfidfTransformer  # noqa: PLC0415

    base = int(max(int(one.values.max()) if len(one.values) else 0 for one in (train, test))) + 3
    orders = [order for order in (_LETTERS if is_text else _TOKENS) if base**order < MOST_KEYS]
    if is_text:
        train, test = (_mark_ends(one, base) for one in (train, test))
    blocks: list[list[Any]] = [[], []]
    for order in orders:
        keys, owners = _occurrences(train, order, base)
        known, columns = np.unique(keys, return_inverse=True)
        blocks[0].append(_counts(owners, columns, len(train), len(known)))
        keys, owners = _occurrences(test, order, base)
        places = np.searchsorted(known, keys).clip(max=max(0, len(known) - 1))
        found = known[places] == keys if len(known) else np.zeros(len(keys), bool)
        blocks[1].append(_counts(owners[found], places[found], len(test), len(known)))
    weighting = TfidfTransformer(sublinear_tf=True)
    return weighting.fit_transform(sparse.hstack(blocks[0]).tocsr()), weighting.transform(
        sparse.hstack(blocks[1]).tocsr()
    )


def _mark_ends(sequences: Ragged, base: int) -> Ragged:
    """Put an id of its own before and behind each sequence."""
    offsets, count = sequences.offsets.numpy(), len(sequences)
    places = np.stack([offsets[:-1], offsets[1:]], axis=1).ravel()
    values = np.insert(sequences.values.numpy().astype(np.int64), places, [base - 2, base - 1] * count)
    return Ragged(torch.from_numpy(values), torch.from_numpy(offsets + 2 * np.arange(count + 1)))


def _occurrences(sequences: Ragged, order: int, base: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the n-grams of one order that occur, as numbers, and the sequence of each."""
    keys = ngram_keys(sequences, order, base).numpy()
    owners = np.repeat(np.arange(len(sequences)), sequences.sizes.numpy())
    return keys[keys >= 0], owners[keys >= 0]


def _counts(rows: npt.NDArray[Any], columns: npt.NDArray[Any], height: int, width: int) -> Any:
    from scipy import sparse  # noqa: PLC0415

    return sparse.coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(height, width)).tocsr()


def _summarise(sequences: Ragged) -> npt.NDArray[np.float64]:
    """Return figures that say what a series looks like, (n, 11 * F + 1); 0 where there is nothing to measure."""
    values, offsets = sequences.values.double().numpy(), sequences.offsets.numpy()
    rows = [_summary(values[start:end]) for start, end in pairwise(offsets.tolist())]
    return np.nan_to_num(np.array(rows))


def _summary(series: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    width = series.shape[1]
    known = series[~np.isnan(series).any(1)]  # (T, F)
    if not len(known):
        return np.zeros(11 * width + 1)
    steps = np.linspace(-1, 1, len(known))[:, None]
    changes = np.abs(np.diff(known, axis=0)).mean(0) if len(known) > 1 else np.zeros(width)
    parts = [known.mean(0), known.std(0), known.min(0), known.max(0), *np.quantile(known, [0.25, 0.5, 0.75], axis=0)]
    parts += [known[0], known[-1], (steps * known).mean(0), changes]
    return np.concatenate([*parts, [len(series)]])


def _standardised(
    train: npt.NDArray[np.float64], test: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    mean, scale = train.mean(0), train.std(0)
    scale[scale == 0] = 1.0
    return (train - mean) / scale, (test - mean) / scale
