"""Time series of unequal length, with missing values: train, measure, and see how early one could decide.

    python examples/time_series.py

The data are made here: three sensors on a person who rests, walks or runs, for 2 to 12 seconds at 25 readings a
second. The sensors have different scales and offsets, each person another tempo and phase, and some readings are lost,
in gaps. Features are standardised by the training data, and gaps are marked for the model, which reads forwards only,
so that it can also be asked while a recording is still running.
"""

import argparse

import numpy as np
import numpy.typing as npt
import torch

import seqclf
from seqclf import RNNClassifier, SequenceDataset
from seqclf.callbacks import EarlyStopping

RATE = 25  # readings a second
TEMPO = {"rest": 0.0, "walk": 1.8, "run": 2.7}  # steps a second
SCALE = np.array([1.0, 40.0, 0.05])  # of the three sensors
OFFSET = np.array([9.8, 300.0, 0.0])


def record(activity: str, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Make one recording, (T, 3), with gaps of NaN."""
    steps = int(rng.integers(2 * RATE, 12 * RATE))
    tempo = TEMPO[activity] * rng.normal(1, 0.15)
    angle = 2 * np.pi * tempo * np.arange(steps) / RATE + rng.uniform(0, 2 * np.pi)
    swing = np.stack([np.sin(angle), np.sin(2 * angle), np.cos(angle)], axis=1) * (0.6 if tempo else 0.0)
    values = (swing + rng.normal(0, 1.0, size=(steps, 3))) * SCALE + OFFSET
    for start in rng.integers(0, steps, size=max(1, steps // 50)):
        values[start : start + 5, rng.integers(0, 3)] = np.nan
    return np.asarray(values, dtype=np.float32)


def make_data(count: int, seed: int) -> SequenceDataset:
    """Make `count` recordings, as many of each activity."""
    rng = np.random.default_rng(seed)
    labels = [list(TEMPO)[index % 3] for index in range(count)]
    return SequenceDataset.from_sequences([record(label, rng) for label in labels], labels, allow_missing=True)


def accuracy_by_time(model: RNNClassifier, data: SequenceDataset, seconds: list[float]) -> dict[float, float]:
    """Return the accuracy after so many seconds, among the recordings that last so long."""
    curves = seqclf.predict_prefixes(model, data)
    found = {}
    for second in seconds:
        step = int(second * RATE) - 1
        pairs = zip(curves, data.labels.tolist(), strict=True)
        right = [curve[step].argmax() == label for curve, label in pairs if len(curve) > step]
        found[second] = float(np.mean(right))
    return found


def main() -> None:
    """Train and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=15, help="how often to go through the data (default: 15)")
    parser.add_argument("--count", type=int, default=600, help="recordings to train on (default: 600)")
    arguments = parser.parse_args()

    train, validation, test = (make_data(arguments.count // part, seed) for seed, part in enumerate((1, 3, 3)))
    print(f"train: {train!r}")
    model = RNNClassifier.for_dataset(
        train,
        cell="gru",
        hidden_size=48,
        bidirectional=False,  # so that it can stream
        pooling="mean",
        dropout=0.2,
        missing="indicator",
        seed=0,
    )
    seqclf.verify_batching(model, train.subset(range(12))).raise_if_failed()
    seqclf.fit(
        model,
        train,
        validation_data=validation,
        epochs=arguments.epochs,
        optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=5e-3),
        clip_grad_norm=1.0,
        early_stopping=EarlyStopping(patience=5),
    )
    print(seqclf.evaluate(model, test))

    print("\nHow early could one decide?")
    for second, accuracy in accuracy_by_time(model, test, [0.2, 0.5, 1, 2, 4, 8]).items():
        print(f"after {second:3} s: {accuracy:6.1%} of the recordings that last so long are right")

    stream = model.stream()
    recording = test.sequences[1]
    for reading in recording:
        probabilities = stream.push(reading)
    label = test.classes[int(test.labels[1])]
    print(f"\nA stream of {stream.length} readings of {label!r} ends with", end=" ")
    print(", ".join(f"{name} {share:.2f}" for name, share in zip(test.classes, probabilities, strict=True)))


if __name__ == "__main__":
    main()
