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
from seqclf.files import read_json, write_json
from seqclf.models.classifier import RNNClassifier
from seqclf.persistence import save
from seqclf.study.options import Point
from seqclf.study.run import Run, StudyData
from seqclf.training.evaluation import Evaluation
from seqclf.training.history import History

_VERSION = 2
_PARTS: dict[str, type] = {"losses": np.float64, "predictions": np.int64, "confidences": np.float64}  # of an Evaluation


class RunCache:
    """Finished runs in a folder; a run is found again only by the same options, data, versions and torch settings."""

    def __init__(self, folder: Path, data: StudyData, *, threads: int, device: str, keep_models: bool) -> None:
        self.folder = folder
        self.data = data
        self.keep_models = keep_models
        self.shared = {
            "version": _VERSION,
            "seqclf": __version__,
            "torch": torch.__version__,
            "numpy": np.__version__,  # draws the order of the batches
            "dtype": str(torch.get_default_dtype()),
            "threads": threads,
            "device": device,
            "train": data.train.fingerprint,
            "measured": {name: dataset.fingerprint for name, dataset in data.measured.items()},
            "with_curves": data.with_curves,
        }

    def load(self, point: Point) -> Run | None:
        """Return the finished run of a point; None where there is none yet.

        Raises:
            FileFormatError: There is a file by the right name with another content.
        """
        path = self._path(point, ".json")
        if not path.exists():
            return None
        content = read_json(path, "run file")
        try:
            if content["key"] != self._key(point):
                raise KeyError("key")
            with_model = self.keep_models and content["error"] is None
            model_file = self._path(point, ".safetensors") if with_model else None
            if model_file is not None and not model_file.exists():
                return None
            measured = self.data.admitted(point.options).measured
            return Run(
                point.options,
                History.from_json(content["history"]),
                {name: _read_result(content["results"][name], measured[name]) for name in content["results"]},
                int(content["parameters"]),
                float(content["seconds"]),
                content["error"],
                model_file,
            )
        except (KeyError, TypeError, ValueError, AttributeError, InvalidDataError) as error:
            raise FileFormatError(
                f"run file must be one that run_study wrote; got {error!r} in {path}. Delete it, and run again."
            ) from None

    def store(self, point: Point, run: Run, model: RNNClassifier) -> None:
        """Write a finished run, its model first: a run that can be found is whole."""
        if self.keep_models and run.error is None:
            save(model, self._path(point, ".safetensors"))
        content = {
            "key": self._key(point),
            "history": run.history.to_json(),
            "results": {
                name: {part: getattr(result, part).tolist() for part in _PARTS} for name, result in run.results.items()
            },
            "parameters": run.parameters,
            "seconds": run.seconds,
            "error": run.error,
        }
        write_json(self._path(point, ".json"), content)

    def _key(self, point: Point) -> dict[str, Any]:
        return self.shared | {"options": json.loads(point.description)}

    def _path(self, point: Point, suffix: str) -> Path:
        text = json.dumps(self._key(point), sort_keys=True)
        return self.folder / (hashlib.sha256(text.encode()).hexdigest()[:32] + suffix)


def _read_result(content: Mapping[str, Any], dataset: SequenceDataset) -> Evaluation:
    parts: dict[str, Any] = {name: np.array(content[name], dtype=dtype) for name, dtype in _PARTS.items()}
    if any(part.shape != (len(dataset),) for part in parts.values()):
        raise ValueError("results of another number of sequences")
    return Evaluation(labels=dataset.labels.numpy(), classes=dataset.classes, groups=dataset.groups, **parts)
