"""scikit-learn on plain lists of strings: fit, a grid search in two processes, and probabilities.

    python examples/sklearn_names.py [--data FOLDER]

Trains on the names of 18 languages: the sample that the library brings, or a folder with a text file for each language.
"""

import argparse

import numpy as np
from sklearn.metrics import classification_report
from sklearn.model_selection import GridSearchCV, GroupShuffleSplit, StratifiedGroupKFold

from seqclf.datasets import load_names
from seqclf.sklearn import SequenceClassifier


def main(data: str, epochs: int) -> None:
    """Search, train and report."""
    names, languages = map(list, zip(*load_names(data), strict=True))
    # A name that stands several times must not stand on both sides; scikit-learn calls that a group.
    train, test = next(GroupShuffleSplit(1, test_size=0.2, random_state=0).split(names, languages, groups=names))
    sequences, labels = [names[i] for i in train], [languages[i] for i in train]

    model = SequenceClassifier(epochs=epochs, bidirectional=True, pooling=("last", "mean", "max"), dropout=0.2)
    grid = {"cell": ["lstm", "gru"], "hidden_size": [32, 128]}
    search = GridSearchCV(model, grid, cv=StratifiedGroupKFold(3), n_jobs=2).fit(sequences, labels, groups=sequences)
    for parameters, score in zip(search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True):
        print(f"{score:.3f}  {parameters}")
    print(f"best: {search.best_params_}")

    truth, answers = [languages[i] for i in test], search.predict([names[i] for i in test])
    print(classification_report(truth, answers, zero_division=0))  # pyright: ignore[reportArgumentType]
    for name, row in zip(["Satoshi", "Dubois"], search.predict_proba(["Satoshi", "Dubois"]), strict=True):
        best = np.argsort(row)[::-1][:3]
        print(name, ", ".join(f"{search.classes_[i]} {row[i]:.2f}" for i in best))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="scikit-learn on plain lists of strings.")
    parser.add_argument("--data", default="sample", help="'sample', 'download', or a folder of text files")
    parser.add_argument("--epochs", type=int, default=15)
    arguments = parser.parse_args()
    main(arguments.data, arguments.epochs)
