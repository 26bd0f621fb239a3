"""export: a model for runtimes other than torch, compared with the model before it is written."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqclf.checks import check_int
from seqclf.errors import InvalidArgumentError, MissingDependencyError, SeqclfError
from seqclf.fields import Fields
from seqclf.files import PathLike, write_atomically
from seqclf.models.classifier import RNNClassifier
from seqclf.modes import evaluating
from seqclf.onnx.metadata import describe

__all__ = ["export"]

_TOLERANCE = 1e-4  # of logits in float32, each beside its own size: sums of another order differ by 1e-6 or so


def export(model: RNNClassifier, path: PathLike, *, check_shapes: int = 20, seed: int = 0) -> float:
    """Write a model as an ONNX file, for runtimes that need neither torch nor this library.

    Batch size and length stay free. The file takes `inputs`, int64 ids (batch, length) or float32 features
    (batch, length, F), padded at the end with anything, and `lengths`, int64 (batch,), with one row and one step at
    least; and gives `logits` and `probabilities`, float32 (batch, C). What it takes to encode raw sequences and to name
    classes is in its metadata, as JSON under the key `seqclf`: `"symbols"` (the id of symbol i is i + 2; unknown ones
    have id 1), `"classes"`, the tokenizer with its rule, fields, thresholds, and what to do with missing values and
    empty sequences. `examples/serve_onnx.py` reads all of it.

    The model runs with its dropout off. Before anything is written, onnxruntime runs the file on batches of random
    shapes, none of which it was made for, and its logits are compared with the model's.

    Args:
        model: A model of a built-in cell and pooling; a float64 model is exported as float32.
        path: Where to; its name ends in `.onnx`.
        check_shapes: How many random shapes to compare on.
        seed: The seed of those batches.

    Returns:
        The largest difference between logits of both.

    Raises:
        MissingDependencyError: onnx or onnxruntime is not installed.
        InvalidArgumentError: The model has a cell, pooling, embedding or head that ONNX has no counterpart for; or the
            name of the file ends otherwise.
        InvalidDataError: A class or symbol is of a kind that files cannot hold.
        SeqclfError: The exported model disagrees; nothing is written.
        FileFormatError: The file cannot be written.

    Example:
        >>> import tempfile
        >>> from seqclf import RNNClassifier, Vocabulary, export
        >>> model = RNNClassifier(2, vocab_size=4, vocabulary=Vocabulary("ab"), classes=["x", "y"], seed=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     export(model, f"{folder}/model.onnx") < 1e-5
        True
    """
    path = Path(path)
    if path.suffix != ".onnx":
        raise InvalidArgumentError(f"path must end in .onnx, the format that is written; got {path.name!r}.")
    check_int("check_shapes", check_shapes)
    try:
        import onnxruntime  # noqa: PLC0415  # optional, so imported where it is needed

        from seqclf.onnx.graph import build_model  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependencyError(
            f'export must have onnx and onnxruntime; got {error}. Install them with: pip install "seqclf[onnx]"'
        ) from error
    model = copy.deepcopy(model).to("cpu", torch.float32)
    content = build_model(model, {"seqclf": json.dumps(describe(model))}).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # the batches are small
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    worst = max(_difference(model, session, batch) for batch in _batches(model, check_shapes, seed))
    write_atomically(path, content)
    return worst


def _batches(model: RNNClassifier, count: int, seed: int) -> list[dict[str, Tensor]]:
    """Return padded batches of random shapes and lengths, with what must not be read behind the ends."""
    rng = np.random.default_rng(seed)
    batches = []
    for _ in range(count):
        rows, longest = int(rng.integers(1, 20)), int(rng.integers(1, 60))
        lengths = rng.integers(0 if model.empty == "zero" else 1, longest + 1, rows)
        is_padding = np.arange(longest) >= lengths[:, None]
        steps: npt.NDArray[Any]
        if model.input_size is None:
            steps = rng.integers(0, model.vocab_size or 2, (rows, longest))
            steps[is_padding] = -1
        else:
            assert model.features is not None
            steps = _random_rows(rng, (rows, longest), model.features, model.fields, missing=model.missing != "error")
            steps[is_padding] = np.nan
        batch = {"inputs": torch.from_numpy(steps), "lengths": torch.from_numpy(lengths)}
        if model.context_logits is not None:
            facts = _random_rows(rng, (rows,), model.context_logits, model.context_fields, missing=True)
            batch["context"] = torch.from_numpy(facts)
        batches.append(batch)
    return batches


def _random_rows(
    rng: np.random.Generator, shape: tuple[int, ...], reader: Any, fields: Fields | None, *, missing: bool
) -> npt.NDArray[np.float32]:
    """Return rows such as those that a model was trained on, (*shape, F)."""
    measures = getattr(reader, "numbers", reader)
    numbers = rng.normal(size=(*shape, measures.num_features))
    if "mean" in measures._buffers:
        numbers = numbers * measures.scale.numpy() + measures.mean.numpy()
    if missing:
        numbers[rng.random(numbers.shape) < 0.2] = np.nan
    if fields is None:
        return numbers.astype(np.float32)
    rows = np.empty((*shape, len(fields)), np.float32)
    rows[..., fields.numbers] = numbers
    for place, size in zip(fields.categories, fields.sizes, strict=True):
        rows[..., place] = rng.integers(0, size + 1, shape)
    return rows


def _difference(model: RNNClassifier, session: Any, batch: dict[str, Tensor]) -> float:
    """Return the largest difference of logits; raise where it is more than rounding."""
    with evaluating(model), torch.no_grad():
        expected = model(**batch).numpy()
    (found,) = session.run(["logits"], {name: value.numpy() for name, value in batch.items()})
    difference = np.abs(found - expected)
    if not bool((difference <= _TOLERANCE * (1 + np.abs(expected))).all()):
        raise SeqclfError(
            f"the exported model must agree with the model; got logits that differ by up to {difference.max():.3g} for "
            f"{len(found)} sequences of up to {batch['inputs'].shape[1]} steps. Nothing was written. Is onnxruntime up "
            "to date?"
        )
    return float(difference.max())
