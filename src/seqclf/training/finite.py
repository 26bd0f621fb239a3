"""Numbers that go wrong: noticed before they reach the weights, and told where they are."""

import math
from collections.abc import Iterable

from torch import Tensor, nn

from seqclf.errors import InvalidArgumentError, TrainingError

_SHOWN = 8  # how many sequences of a batch an error names


def is_finite(gradients: Iterable[Tensor | None]) -> bool:
    """Tell whether all gradients are finite, by their sums: an infinite or undefined number leaves no finite sum."""
    return all(math.isfinite(float(gradient.sum())) for gradient in gradients if gradient is not None)


def check_weights(model: nn.Module) -> None:
    """Raise where a weight is infinite or undefined before training has begun: nothing would come of it."""
    for name, weight in model.named_parameters():
        if not bool(weight.detach().isfinite().all()):
            raise InvalidArgumentError(
                f"weights must be finite before training; got one that is not in {name}. Make or load the model anew."
            )


def nonfinite_update_error(
    model: nn.Module, logits: Tensor, indices: list[int], epoch: int, update: int
) -> TrainingError:
    """Return the error for an update that must not be made, as its gradients are not finite.

    Args:
        model: The model, with the gradients.
        logits: What it made of the batch.
        indices: Where the sequences of the batch stand in the training data.
        epoch: Which epoch it is, from 0.
        update: Which update of the epoch it would have been, from 0.
    """
    weights = dict(model.named_parameters())
    spoilt = [name for name, weight in weights.items() if not is_finite([weight.detach()])]
    wrong = [name for name, weight in weights.items() if not is_finite([weight.grad])]
    shown = ", ".join(map(str, indices[:_SHOWN])) + (", ..." if len(indices) > _SHOWN else "")
    if spoilt:
        what = f"got {spoilt[0]} made infinite or undefined by the update before"
    else:
        largest = {name: float(weight.detach().abs().max()) for name, weight in weights.items()}
        top = max(largest, key=lambda name: largest[name])
        # Backwards, what is wrong in one layer spoils all before it; so the last one is where it began.
        where = f"in {wrong[-1]}" if bool(logits.isfinite().all()) else "as the logits are not"
        what = (
            f"got one that is not, {where}. The update was not made: the weights are those before it, of which the "
            f"largest, {largest[top]:.3g}, stands in {top}"
        )
    return TrainingError(
        f"in epoch {epoch + 1}, update {update + 1} (sequences {shown}), weights and gradients must be finite; {what}. "
        "Lower the learning rate, or pass clip_grad_norm.",
        epoch=epoch,
        update=update,
        indices=indices,
    )
