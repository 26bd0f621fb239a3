"""Files of tensors and a description in JSON: one safetensors file with a checksum over all of it, never a pickle."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from seqclf.errors import FileFormatError
from seqclf.files import PathLike, read_bytes, write_atomically

_DIGEST = "sha256"  # the file's metadata: "<kind>" holds the description, "<kind>_sha256" its digest with the tensors


def write_tensor_file(path: PathLike, kind: str, description: Any, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors and a description, whole or not at all.

    Args:
        path: Where to; a file of that name is replaced.
        kind: What the file is, so that no reader takes it for something else.
        description: Any value that JSON can hold.
        tensors: The tensors by name.
    """
    text = json.dumps(description)
    held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, safetensors.torch.save(held, {kind: text, f"{kind}_{_DIGEST}": _digest(text, held)}))


def read_tensor_file(path: PathLike, kind: str, what: str) -> tuple[Any, dict[str, Tensor]]:
    """Return the description and the tensors that `write_tensor_file` wrote; no code of the file is ever run.

    Args:
        path: The file.
        kind: What it must be.
        what: What to call such a file in errors.

    Raises:
        FileFormatError: The file is missing, truncated, altered, or of another kind.
    """
    content = read_bytes(path, what)
    try:
        tensors = safetensors.torch.load(content)
        metadata = _metadata(content)
        text, digest = (metadata.get(name) for name in (kind, f"{kind}_{_DIGEST}"))
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FileFormatError(
            f"{what} must be one that seqclf wrote, and whole; got {_other_kind(content) or error} in {path}. "
            "Check the path, or restore or write the file again."
        ) from None
    if text is None or digest is None:
        raise FileFormatError(f"{what} must be one that seqclf wrote as such; got another in {path}. Check the path.")
    if digest != _digest(text, tensors):
        raise FileFormatError(
            f"{what} must have the checksum that it was written with; got another in {path}. "
            "It was damaged or altered: restore or write it again."
        )
    return json.loads(text), tensors


def _other_kind(content: bytes) -> str | None:
    """Say what a file is whose first bytes tell that it never held safetensors, whose header begins at byte 8."""
    if len(content) < 9 or content[8:9] == b"{":
        return None
    if content.startswith(b"PK\x03\x04"):
        return "a zip archive, such as torch.save writes"
    return "a pickle" if content.startswith(b"\x80") else None


def _metadata(content: bytes) -> dict[str, str]:
    """Return the text metadata of a safetensors file: 8 bytes of header length, then the header, which is JSON."""
    size = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + size]).get("__metadata__", {})
    return {str(name): str(value) for name, value in metadata.items()}


def _digest(description: str, tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of the description and of the name, type, shape and bytes of every tensor."""
    digest = hashlib.sha256(description.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
