"""`seqclf embed`: the pooled vectors of the sequences of a table, as a NumPy file."""

import argparse
import json
import sys

from seqclf.cli.tables import columns_of, options_of
from seqclf.inference.tables import embed_table
from seqclf.persistence import load


def run(arguments: argparse.Namespace) -> None:
    """Write the vectors, and say how many there are."""
    shape = embed_table(
        load(arguments.model),
        arguments.table,
        arguments.output,
        **columns_of(arguments),
        chunk_size=arguments.chunk_size,
        progress=not arguments.quiet,
        **options_of(arguments),
    )
    print(f"{shape[0]:,} vectors of {shape[1]} numbers; saved as {arguments.output}", file=sys.stderr)
    if arguments.json:
        print(json.dumps({"path": str(arguments.output), "shape": shape}))
