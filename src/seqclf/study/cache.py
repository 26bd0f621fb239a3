"""The cache of finished runs: a file for each, named by a hash of all that decided its outcome."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seqclf._version import __version__
from seqclf.data.dataset import SequenceDataset
from seqclf.errors import FileFormatError, InvalidDataError
from seqclf.files import read_json, write_atomically
from seqclf.models.classifier import RNNClassifier
from seqclf.persistence import save
from seqclf.study.options import Options, describe
from seqclf.study.run import Run, StudyData
from seqclf.training.evaluate import Evaluation
from seqclf.training.history import History

_VERSION = 1


class RunCache:
    """Finished runs in a folder; a run is found again only by the same options, data, versions and machine settings."""

    def __init__(self, folder: Path, data: StudyData, *, threads: int, device: str, keep_models: bool) -> None:
        self.folder = folder
        self.data = data
        self.keep_models = keep_models
        self.shared = {
            "version": _VERSION,
            "seqclf": __version__,
            "torch": torch.__version__,
            "threads": threads,
            "device": device,
            "train": data.train.fingerprint,
            "measured": {name: dataset.fingerprint for name, dataset in data.measured.items()},
            "with_curves": data.with_curves,
        }

    def load(self, options: Options) -> Run | None:
        """Return the finished run of these options; None where there is none yet.

        Raises:
            FileFormatError: There is a file by the right name with another content.
        """
        path = self._path(options, ".json")
        model_file = self._path(options, ".safetensors")
        if not path.exists() or (self.keep_models and not model_file.exists()):
            return None
        content = read_json(path, "run file")
        try:
            if content["key"] != self._key(options):
                raise KeyError("key")
            return Run(
                options,
                History.from_json(content["history"]),
                {name: _read_result(content["results"][name], self.data.measured[name]) for name in content["results"]},
                int(content["parameters"]),
                float(content["seconds"]),
                content["error"],
                model_file if self.keep_models else None,
            )
        except (KeyError, TypeError, ValueError, AttributeError, InvalidDataError) as error:
            raise FileFormatError(
                f"run file must be one that run_study wrote; got {error!r} in {path}. Delete it, and run again."
            ) from None

    def store(self, run: Run, model: RNNClassifier) -> None:
        """Write a finished run, its model first: a run that can be found is whole."""
        if self.keep_models and run.error is None:
            save(model, self._path(run.options, ".safetensors"))
        content = {
            "key": self._key(run.options),
            "history": run.history.to_json(),
            "results": {
                name: {"losses": result.losses.tolist(), "predictions": result.predictions.tolist()}
                for name, result in run.results.items()
            },
            "parameters": run.parameters,
            "seconds": run.seconds,
            "error": run.error,
        }
        write_atomically(self._path(run.options, ".json"), json.dumps(content).encode())

    def _key(self, options: Options) -> dict[str, Any]:
        return self.shared | {"options": describe(options)}

    def _path(self, options: Options, suffix: str) -> Path:
        text = json.dumps(self._key(options), sort_keys=True)
        return self.folder / (hashlib.sha256(text.encode()).hexdigest()[:32] + suffix)


def _read_result(content: Mapping[str, Any], dataset: SequenceDataset) -> Evaluation:
    losses = np.array(content["losses"], dtype=np.float64)
    predictions = np.array(content["predictions"], dtype=np.int64)
    if losses.shape != (len(dataset),) or predictions.shape != (len(dataset),):
        raise ValueError("results of another number of sequences")
    return Evaluation(losses, dataset.labels.numpy(), predictions, dataset.classes, dataset.groups)
