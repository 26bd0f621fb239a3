"""Classify strings with an exported model: onnxruntime and NumPy are all that it needs.

    python examples/serve_onnx.py model.onnx Satoshi Dubois
    cat names.txt | python examples/serve_onnx.py model.onnx

where `model.onnx` was written by `seqclf.export(model, "model.onnx")`. Prints each string, its label, and how probable
that is.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
import onnxruntime


class Classifier:
    """An exported model, with the symbols and classes that it carries in its metadata."""

    def __init__(self, path: str) -> None:
        self.session = onnxruntime.InferenceSession(path)
        about = json.loads(self.session.get_modelmeta().custom_metadata_map["seqclf"])
        if not about["is_text"] or about["classes"] is None:
            sys.exit("the example serves models of text that know their classes; this is another")
        self.ids = {symbol: index for index, symbol in enumerate(about["symbols"], start=2)}  # 0 pads, 1 is unknown
        self.classes = about["classes"]

    def predict(self, texts: list[str]) -> Iterator[tuple[str, float]]:
        """Yield the label of each text and its probability."""
        lengths = np.array([len(text) for text in texts])
        inputs = np.zeros((len(texts), max(1, lengths.max())), np.int64)
        for row, text in enumerate(texts):
            inputs[row, : len(text)] = [self.ids.get(symbol, 1) for symbol in text]
        (probabilities,) = self.session.run(["probabilities"], {"inputs": inputs, "lengths": lengths})
        for row in np.asarray(probabilities):
            yield self.classes[row.argmax()], row.max()


def main(path: str, texts: Iterable[str]) -> None:
    """Print what the model makes of each text, 256 at a time."""
    classifier, remaining = Classifier(path), iter(texts)
    while chunk := list(islice(remaining, 256)):
        for text, (label, probability) in zip(chunk, classifier.predict(chunk), strict=True):
            print(f"{text}\t{label}\t{probability:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Classify strings with an exported model.")
    parser.add_argument("model", help="the .onnx file")
    parser.add_argument("texts", nargs="*", help="what to classify; without any, lines of standard input")
    arguments = parser.parse_args()
    lines = (line.rstrip("\n") for line in sys.stdin)
    main(arguments.model, arguments.texts or (line for line in lines if line))
