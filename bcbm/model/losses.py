"""Cross-entropy of several receptors of which some are not known."""

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


def cross_entropy(logits: Tensor, label: Tensor, known: Tensor, pos_weight: Tensor) -> Tensor:
    """Cross-entropy (B, R), positives weighed by `pos_weight` (R,); 0 where not known."""
    # Multiplied, not indexed: a head without one known label still takes part, as DDP demands.
    return known * binary_cross_entropy_with_logits(
        logits.float(), label, pos_weight=pos_weight, reduction="none"
    )


def masked_bce(
    logits: Tensor, label: Tensor, known: Tensor, pos_weight: Tensor, receptor_weight: Tensor
) -> Tensor:
    """Loss of each receptor, (R,), from (B, R) logits, labels and 0 / 1 masks and (R,) weights.

    Divided by the batch, not by the known labels: the mean over devices is then the loss of the whole batch.
    """
    return receptor_weight * cross_entropy(logits, label, known, pos_weight).sum(dim=0) / len(logits)
