"""How fast one model trains in one process or, under torchrun, in several.

python benchmarks/processes.py FOLDER BATCH_SIZE HIDDEN_SIZE --threads 2
torchrun --nproc-per-node 2 benchmarks/processes.py FOLDER BATCH_SIZE HIDDEN_SIZE --threads 1
"""

import argparse

import torch

from seqclf import RNNClassifier, SequenceDataset, fit
from seqclf.datasets import load_names
from seqclf.defaults import PLAIN
from seqclf.training.distributed import process_rank


def main() -> None:
    """Train four epochs, and print the speed of the second fastest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="the folder of the names data")
    parser.add_argument("batch_size", type=int, help="how many names make an update, all processes together")
    parser.add_argument("hidden_size", type=int, help="the size of the state of the LSTM")
    parser.add_argument("--threads", type=int, default=1, help="torch's threads in each process")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    dataset = SequenceDataset.from_pairs(load_names(arguments.folder))
    model = RNNClassifier.for_dataset(dataset, hidden_size=arguments.hidden_size, seed=0, **PLAIN)
    history = fit(model, dataset, epochs=4, batch_size=arguments.batch_size, progress=False, device="cpu")
    if not process_rank():
        speed = len(dataset) / sorted(history["seconds"])[1]
        print(f"{speed:,.0f} sequences/s, loss {history['loss'][-1]:.6f}")


if __name__ == "__main__":
    main()
