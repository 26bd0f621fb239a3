"""`seqclf export`: a saved model as ONNX."""

import argparse
import json

from seqclf.onnx import export
from seqclf.persistence import load


def run(arguments: argparse.Namespace) -> None:
    """Write a model as ONNX, and print how far it is from torch's."""
    difference = export(load(arguments.model), arguments.output)
    if arguments.json:
        print(json.dumps({"path": arguments.output, "largest_difference": difference}))
    else:
        print(f"{arguments.output} (logits differ from torch's by {difference:.1e} at most)")
