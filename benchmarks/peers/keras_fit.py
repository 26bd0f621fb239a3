"""Keras 3, on the backend that the environment names: a masking embedding, recurrent layers, `fit` and `predict`."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from benchmarks.config import EMBEDDING, MOMENTUM, Config
from benchmarks.peers import Pass
from benchmarks.peers.recipe import symbol_table
from benchmarks.work import Work

_RECURRENT = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}


def make_model(work: Work, config: Config) -> Any:
    """Make and compile the model."""
    layers = [keras.layers.Embedding(len(work.vocabulary), EMBEDDING, mask_zero=True)]
    for number in range(config.layers):
        layer = _RECURRENT[config.cell](config.hidden, return_sequences=number < config.layers - 1)
        layers.append(keras.layers.Bidirectional(layer) if config.bidirectional else layer)
    model = keras.Sequential([*layers, keras.layers.Dense(work.num_classes)])
    model.compile(
        optimizer=keras.optimizers.SGD(config.learning_rate, momentum=MOMENTUM),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model


class KerasFit:
    """A compiled model of Keras, fed from one array that is padded to the longest sequence of all.

    That is what users of Keras do, and it gives JAX a single shape to compile.
    """

    def prepare(self, work: Work, config: Config) -> None:
        """Pad the data, and make the model."""
        keras.utils.set_random_seed(0)
        self.inputs, self.labels = work.padded(), work.labels
        self.batch_size = config.batch_size
        self.table = symbol_table(work)
        self.model = make_model(work, config)

    def train(self) -> Pass:
        """Fit for one epoch."""
        history = self.model.fit(self.inputs, self.labels, batch_size=self.batch_size, epochs=1, verbose=0)
        return Pass(float(history.history["loss"][0]))

    def predict(self) -> Sequence[int]:
        """Predict all rows."""
        found: list[int] = self.model.predict(self.inputs, batch_size=self.batch_size, verbose=0).argmax(1).tolist()
        return found

    def predict_one(self, texts: Sequence[str]) -> Sequence[int]:
        """Call `predict_on_batch`, which Keras advises for few samples, on one padded row at a time."""
        found = []
        for text in texts:
            row = np.zeros((1, self.inputs.shape[1]), np.int32)
            row[0, : len(text)] = [self.table[symbol] for symbol in text]
            found.append(int(self.model.predict_on_batch(row).argmax()))
        return found
