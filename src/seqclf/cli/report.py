"""`seqclf report`: what there is to know of a table before anything is trained on it."""

import argparse
import json

from seqclf.cli.tables import as_encoded, read


def run(arguments: argparse.Namespace) -> None:
    """Print what there is to know of a table."""
    data, other = read(arguments, arguments.table, tokenizer=arguments.tokenizer), None
    if arguments.test is not None:
        other = read(arguments, arguments.test, **as_encoded(data))
    report = data.report(other)
    print(json.dumps(report.to_dict()) if arguments.json else report)
