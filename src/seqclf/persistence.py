"""Saving and loading models: tensors and JSON in one safetensors file, never a pickle."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from seqclf._version import __version__
from seqclf.cells.protocol import CellFactory
from seqclf.cells.table import KNOWN_CELLS, cell_name
from seqclf.errors import FileFormatError, InvalidArgumentError, InvalidDataError
from seqclf.fields import Fields
from seqclf.files import PathLike
from seqclf.models.classifier import OPTIONS, RNNClassifier, check_is_model
from seqclf.reading.plain import from_json, to_json
from seqclf.reading.tokenizers import read_tokenizer
from seqclf.tensor_file import read_tensor_file, write_tensor_file
from seqclf.vocabulary import Vocabulary

__all__ = ["load", "save"]

_VERSION = 4  # those before had fewer options; what a file does not say has its default
_KIND = "seqclf"


def save(model: RNNClassifier, path: PathLike) -> None:
    """Write `model`, with its vocabulary and classes, to one file: whole or not at all.

    The file is in the safetensors format. A model of a cell or pooling of your own is saved with its weights, and
    `load` then asks for the cell or the pooling.

    Args:
        model: The model.
        path: Where to; a file of that name is replaced.

    Raises:
        InvalidDataError: A class or symbol is of a kind that files cannot hold; or the model is of a class of your own,
            or has another head than it was made with, so that `load` could not make it again.
        FileFormatError: The folder does not exist, or something stands there that is no file.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from seqclf import RNNClassifier, SequenceDataset, load, predict, save
        >>> train = SequenceDataset.from_pairs([("aab", "a"), ("bba", "b")])
        >>> model = RNNClassifier.for_dataset(train, hidden_size=8, seed=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(model, Path(folder) / "model.safetensors")
        ...     again = load(Path(folder) / "model.safetensors")
        >>> predict(again, ["ab"]) == predict(model, ["ab"])
        True
    """
    _check_can_be_made_again(model)
    write_tensor_file(path, _KIND, describe_model(model), model.state_dict())


def load(
    path: PathLike, *, cell: CellFactory | None = None, pooling: nn.Module | None = None, tokenizer: Any = None
) -> RNNClassifier:
    """Read a model that `save` wrote; no code of the file is ever run.

    Args:
        path: The file.
        cell: What makes the cells, for a model of a cell of your own.
        pooling: The pooling, for a model of a pooling of your own; its weights are read from the file.
        tokenizer: The function that splits texts, for a model with one of your own.

    Returns:
        The model, on the CPU and in eval mode, with its vocabulary and classes.

    Raises:
        FileFormatError: The file is missing, truncated, altered, not a model, or of a newer version.
        InvalidArgumentError: The model needs a `cell`, `pooling` or `tokenizer` that was not given, or has its own
            tokenizer.
        MissingDependencyError: The model has a tokenizer of Hugging Face, which is not installed.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from torch import nn
        >>> from seqclf import RNNClassifier, load, save
        >>> def make_cell(input_size, hidden_size):
        ...     return nn.LSTMCell(input_size, hidden_size, bias=False)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(RNNClassifier(2, vocab_size=9, cell=make_cell), Path(folder) / "model.safetensors")
        ...     model = load(Path(folder) / "model.safetensors", cell=make_cell)
        >>> model.training, model.num_classes
        (False, 2)
    """
    description, tensors = read_tensor_file(path, _KIND, "model file")
    given = {"cell": cell, "pooling": pooling, "tokenizer": tokenizer}
    return _build(_check_version(description, path), tensors, path, given)


def _check_can_be_made_again(model: RNNClassifier) -> None:
    """Raise where `load` would not give back what the model is."""
    check_is_model("model", model)
    if type(model) is not RNNClassifier or "forward" in vars(model):
        raise InvalidDataError(
            f"model must be an RNNClassifier itself to be saved; got {type(model).__name__}, whose code no file holds. "
            "Save model.state_dict() with torch.save, and load it into a model that you make."
        )
    if type(model.head) is not nn.Linear or model.head.bias is None:
        raise InvalidDataError(
            f"model must have the head that it was made with to be saved; got {type(model.head).__name__}. Put further "
            "layers into a pooling of your own, which load takes."
        )
    if cell_name(model.cell) != "custom" and model.pooling_names:
        options: dict[str, Any] = {name: getattr(model, name) for name in OPTIONS}
        with torch.device("meta"):
            again = RNNClassifier(
                **options,
                cell=model.cell,
                pooling=model.pooling_names,
                fields=model.fields,
                context_fields=model.context_fields,
            )
        for one, other in ((model, again), (again, model)):
            if wrong := set(_make_up(one)) - set(_make_up(other)):
                changed = min(name for name, _ in wrong)
                raise InvalidDataError(
                    f"model must be made up as its options say to be saved; got {changed} changed. Make it with the "
                    "options that give it its parts."
                )


def _make_up(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield the parts of a model with their types, and the shapes of what is saved of it."""
    for name, module in model.named_modules():
        yield name, (type(module).__module__, type(module).__qualname__, getattr(module, "max_norm", None))
    for name, tensor in model.state_dict().items():
        yield name, tuple(tensor.shape)


def describe_model(model: RNNClassifier) -> dict[str, Any]:
    """Return everything but the weights, as a value ready for JSON."""
    return {
        "version": _VERSION,
        "seqclf": __version__,
        "model": {name: getattr(model, name) for name in OPTIONS},
        "cell": cell_name(model.cell),
        "pooling": list(model.pooling_names) or "custom",
        "classes": None if model.classes is None else [to_json(label, "classes") for label in model.classes],
        "vocabulary": None if model.vocabulary is None else model.vocabulary.to_dict(),
        "fields": None if model.fields is None else model.fields.to_dict(),
        "context_fields": None if model.context_fields is None else model.context_fields.to_dict(),
        "chosen": list(model.chosen),
        "frozen": [name for name, parameter in model.named_parameters() if not parameter.requires_grad],
    }


def _check_version(content: Any, path: PathLike) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise FileFormatError(
            f"model file must hold a description; got {type(content).__name__} in {path}. Save it with seqclf.save."
        )
    version = content.get("version")
    if not isinstance(version, int) or version > _VERSION:
        raise FileFormatError(
            f"model file must be of version {_VERSION} or older; got version {version!r}, written by seqclf "
            f"{content.get('seqclf')!r}, in {path}. Upgrade seqclf."
        )
    return content


def _build(content: dict[str, Any], tensors: dict[str, Tensor], path: PathLike, given: dict[str, Any]) -> RNNClassifier:
    """Make the model and give it the weights, allocating nothing for sizes that the file's tensors do not bear out."""
    own = {name: content.get(name) == "custom" for name in ("cell", "pooling")}
    for name, is_own in own.items():
        if is_own and given[name] is None:
            raise InvalidArgumentError(
                f"{name} must be given to load a model of your own {name}; got None for {path}. "
                f"Pass {name}= as when the model was made."
            )
    splitter = read_tokenizer(content.get("vocabulary"), given["tokenizer"])
    try:
        options = dict(content["model"])
        if options.get("execution") == "fused":  # what version 0.1 called its own recurrences
            options["execution"] = "auto"
        if options["num_layers"] > len(tensors):
            raise ValueError(f"{options['num_layers']} layers in {len(tensors)} tensors")
        options["cell"] = given["cell"] if own["cell"] else KNOWN_CELLS.get(content["cell"], content["cell"])
        options["pooling"] = given["pooling"] if own["pooling"] else content["pooling"]
        options["classes"] = None if content["classes"] is None else list(map(from_json, content["classes"]))
        known = content["vocabulary"]
        options["vocabulary"] = None if known is None else Vocabulary.from_dict(known, splitter)
        for name in ("fields", "context_fields"):
            options[name] = None if content.get(name) is None else Fields.from_dict(content[name])
        # On the meta device the model has shapes and no memory; only code of the user's own may need the real thing.
        with torch.device("cpu" if any(own.values()) else "meta"):
            model = RNNClassifier(**options)
        model.load_state_dict(tensors, assign=True)
        model.chosen = tuple(content.get("chosen", ()))
        for name in content.get("frozen", []):
            model.get_parameter(name).requires_grad_(False)
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise FileFormatError(
            f"model file must describe a model that fits its weights; got {error} in {path}."
        ) from error
    return model.eval()
