"""The report of `verify_batching`: what became of each law."""

from dataclasses import dataclass

import torch

from seqclf.errors import BatchingError

__all__ = ["BatchingReport", "LawResult"]


@dataclass(frozen=True)
class LawResult:
    """What became of one law.

    Attributes:
        law: What should change nothing.
        mode: `"eval"` or `"train"`.
        logits: The largest difference in any logit, as a part of the largest logit, or of 1 where that is more.
        sequence: The number of the sequence with that difference.
        gradient: The largest difference in any gradient, likewise; None where gradients were not looked at.
        parameter: The name of the weight with that difference.
        tolerance: The largest difference that rounding explains in logits; 0 where the same bits are promised.
        gradient_tolerance: Likewise in gradients.
        error: What the model raised, if it did.

    Example:
        >>> from seqclf import RNNClassifier, verify_batching
        >>> model = RNNClassifier(num_classes=2, vocab_size=9, hidden_size=8, seed=0)
        >>> report = verify_batching(model, [[2, 3, 4], [5], [6, 7]])
        >>> first = report.laws[0]
        >>> first.law, first.mode, first.passed
        ('a batch, not each alone', 'eval', True)
    """

    law: str
    mode: str
    logits: float
    sequence: int
    gradient: float | None
    parameter: str
    tolerance: float
    gradient_tolerance: float
    error: str = ""

    def tolerances(self) -> tuple[float, float]:
        """Return the largest differences that rounding explains, in logits and in gradients."""
        return self.tolerance, self.gradient_tolerance

    @property
    def passed(self) -> bool:
        """Whether the law holds."""
        within = self.logits <= self.tolerance and (self.gradient or 0.0) <= self.gradient_tolerance
        return within and not self.error


@dataclass(frozen=True, repr=False)
class BatchingReport:
    """What `verify_batching` found; printing it shows a line for each law.

    Attributes:
        laws: The results, in the order in which they were looked at.
        dtype: The type of the weights.
        device: Where they lie.

    Example:
        >>> from seqclf import RNNClassifier, verify_batching
        >>> report = verify_batching(RNNClassifier(2, vocab_size=9, seed=0), [[2, 3, 4], [5], [6, 7]])
        >>> report.passed, len(report.laws)
        (True, 26)
    """

    laws: tuple[LawResult, ...]
    dtype: torch.dtype
    device: torch.device

    @property
    def passed(self) -> bool:
        """Whether all laws hold."""
        return all(law.passed for law in self.laws)

    def raise_if_failed(self) -> None:
        """Raise unless all laws hold.

        Raises:
            BatchingError: A law is broken; the message is the report.
        """
        if not self.passed:
            broken = list(dict.fromkeys(law.law for law in self.laws if not law.passed))
            raise BatchingError(f"a batch must give the answers of single sequences; broken: {broken}.\n{self}")

    def __repr__(self) -> str:
        broken = sum(not law.passed for law in self.laws)
        found = f"{broken} of {len(self.laws)} laws broken" if broken else f"all {len(self.laws)} laws hold"
        return f"BatchingReport({found}; {str(self.dtype).removeprefix('torch.')} on {self.device.type})"

    def __str__(self) -> str:
        lines = [f"{'':4}  {'mode':5}  {'what should change nothing':40}  {'logits':>9}  {'gradients':>9}"]
        for law in self.laws:
            gradient = "" if law.gradient is None else f"{law.gradient:9.1e}"
            lines.append(
                f"{'ok' if law.passed else 'FAIL':4}  {law.mode:5}  {law.law:40}  "
                f"{'same bits' if law.tolerance == law.logits == 0 else f'{law.logits:9.1e}'}  {gradient}"
            )
            if law.error:
                lines.append(f"      raised {law.error}")
            elif not law.passed:
                where = f"      worst: sequence {law.sequence}"
                lines.append(where + (f", weight {law.parameter}" if law.parameter else ""))
        dtype = str(self.dtype).removeprefix("torch.")
        tolerance, gradient_tolerance = (max(one) for one in zip(*map(LawResult.tolerances, self.laws), strict=True))
        allowed = f"{tolerance:.0e} in logits, {gradient_tolerance:.0e} in gradients"
        lines.append(f"relative differences; allowed {allowed} ({dtype} on {self.device.type})")
        return "\n".join(lines)
