"""Explanation: what each step of a sequence has said for a class, as data, as coloured text and as HTML."""

import html
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

# Blue speaks for the class and orange against it: two colours that every kind of colour vision tells apart.
_FOR, _AGAINST = np.array([31, 119, 180]), np.array([230, 120, 20])


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """What each step of a sequence has said for or against a class.

    Attributes:
        sequence: The symbols, or the numbers of the steps of a float sequence.
        label: The class that is explained.
        probability: What the model gives it.
        scores: What each step adds to the logit of that class, float64 of shape (T,): above 0 speaks for it.
        feature_scores: The same for each feature of each step, (T, F), where a method tells; for symbols None.
        logit: The logit of the class.
        baseline_logit: Its logit for the same number of steps that say nothing.
        method: How the scores were found.

    Example:
        >>> import numpy as np
        >>> from seqclf.attribution import Explanation
        >>> print(Explanation(tuple("ab"), "x", 0.75, np.array([1.5, -0.3]), None, 1.3, 0.1, "occlusion"))
        x: 75.0%, logit +1.300 (occlusion)
        a    +1.500  ++++++++++++++++++++
        b    -0.300  ----
    """

    sequence: tuple[Any, ...]
    label: Any
    probability: float
    scores: npt.NDArray[np.float64]
    feature_scores: npt.NDArray[np.float64] | None
    logit: float
    baseline_logit: float
    method: str

    @property
    def residual(self) -> float:
        """How much the sum of the scores differs from the difference of both logits.

        For integrated gradients that is the error of the integral; occlusion makes no promise.
        """
        return float(self.scores.sum() - (self.logit - self.baseline_logit))

    def to_ansi(self) -> str:
        """Return the sequence as coloured text for a terminal: blue speaks for the class, orange against it."""
        painted = [
            f"\x1b[48;2;{red};{green};{blue}m\x1b[38;2;{ink};{ink};{ink}m{text}\x1b[0m"
            for text, (red, green, blue), ink in self._painted()
        ]
        return f"{self.label} ({self.probability:.1%}): " + self._between.join(painted)

    def to_html(self) -> str:
        """Return the sequence as a piece of HTML, each step with its colour, and its score as a tooltip."""
        painted = [
            f'<span title="{score:+.3f}" style="background:rgb({red},{green},{blue});color:rgb({ink},{ink},{ink})">'
            f"{html.escape(text)}</span>"
            for (text, (red, green, blue), ink), score in zip(self._painted(), self.scores, strict=True)
        ]
        caption = f"{html.escape(str(self.label))} ({self.probability:.1%})"
        style = "font-family:monospace;white-space:pre-wrap"  # or spaces side by side would become one
        return f'<p><b>{caption}</b> <span style="{style}">{self._between.join(painted)}</span></p>'

    def _repr_html_(self) -> str:
        return self.to_html()

    @property
    def _between(self) -> str:
        is_text = all(isinstance(symbol, str) and len(symbol) == 1 for symbol in self.sequence)
        return "" if is_text else " "

    def _painted(self) -> list[tuple[str, tuple[int, int, int], int]]:
        """Return each step as text, its background, and how light its ink is."""
        largest = float(np.abs(self.scores).max()) or 1.0
        painted = []
        for symbol, score in zip(self.sequence, self.scores / largest, strict=True):
            colour = 255 + (np.where(score > 0, _FOR, _AGAINST) - 255) * abs(score)  # white says nothing
            red, green, blue = (int(part) for part in colour.round())
            ink = 0 if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else 255
            painted.append((str(symbol), (red, green, blue), ink))
        return painted

    def __repr__(self) -> str:
        strongest = int(np.abs(self.scores).argmax())
        return (
            f"Explanation({self.label!r}, {self.probability:.1%}, {len(self.scores)} steps, the strongest "
            f"{self.sequence[strongest]!r} at {strongest}: {self.scores[strongest]:+.3f}, {self.method})"
        )

    def __str__(self) -> str:
        lines = [f"{self.label}: {self.probability:.1%}, logit {self.logit:+.3f} ({self.method})"]
        width = max(len(str(symbol)) for symbol in self.sequence)
        largest = float(np.abs(self.scores).max()) or 1.0
        for symbol, score in zip(self.sequence, self.scores, strict=True):
            bar = ("+" if score > 0 else "-") * round(20 * abs(score) / largest)
            lines.append(f"{symbol!s:<{width}}  {score:+8.3f}  {bar}".rstrip())
        return "\n".join(lines)
