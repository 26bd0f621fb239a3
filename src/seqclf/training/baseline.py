"""linear_baseline: what a linear model comes to on the same data, measured as `evaluate` measures."""

import numpy as np

from seqclf.data.baseline import linear_probabilities
from seqclf.data.dataset import SequenceDataset
from seqclf.inference.predict import check_is_dataset
from seqclf.training.evaluate import evaluation_of_several
from seqclf.training.evaluation import Evaluation

__all__ = ["linear_baseline"]

_LEAST = 1e-12  # a class that training did not have gets no probability, of which no logarithm is finite


def linear_baseline(train: SequenceDataset, test: SequenceDataset) -> Evaluation:
    """Train a linear model on `train` and measure it on `test`: what a recurrent network has to beat.

    It is scikit-learn's logistic regression over what classical models know of sequences: tf-idf of n-grams (of one to
    four letters, or of one to three tokens); each symbol at its place where all sequences have one length, as
    aligned windows have; and of measurements mean, spread, extremes, quartiles, ends, slope and roughness. Nothing is
    tuned. Of more than 50,000 training sequences it sees so many, drawn at random. Two runs give the same.

    Args:
        train: The training data.
        test: What to measure on, encoded like `train`.

    Raises:
        MissingDependencyError: scikit-learn is not installed: `pip install "seqclf[sklearn]"`.
        InvalidDataError: The two are not of one kind.

    Example:
        >>> from seqclf import SequenceDataset, linear_baseline
        >>> train = SequenceDataset.from_pairs([("aab", "a"), ("aaba", "a"), ("bba", "b"), ("babb", "b")] * 4)
        >>> linear_baseline(train, train).accuracy
        1.0
    """
    check_is_dataset("train", train)
    check_is_dataset("test", test)
    probabilities = linear_probabilities(train, test).clip(min=_LEAST)
    if test.multi_label:
        return evaluation_of_several(probabilities.clip(max=1 - _LEAST), test)
    rows, labels = np.arange(len(test)), test.labels.numpy()
    predictions = probabilities.argmax(1)
    return Evaluation(
        losses=-np.log(probabilities[rows, labels]),
        labels=labels,
        predictions=predictions,
        classes=test.classes,
        groups=test.groups,
        confidences=probabilities[rows, predictions],
    )
