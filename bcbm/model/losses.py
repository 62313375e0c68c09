"""Loss of several targets of which some are not known."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from bcbm.config.schema.training import Loss


def cross_entropy(
    logits: Tensor, label: Tensor, known: Tensor, pos_weight: Tensor, gamma: float = 0.0
) -> Tensor:
    """Cross-entropy (B, R), positives weighed by `pos_weight` (R,); 0 where not known.

    With `gamma` above 0 it is the focal loss (Lin et al., ICCV 2017), (1 - p)^gamma times the cross-entropy,
    p the probability of the true class; `pos_weight` stands in the place of its alpha.
    """
    logits = logits.float()
    losses = binary_cross_entropy_with_logits(logits, label, pos_weight=pos_weight, reduction="none")
    if gamma:
        # In logarithms: the slope of (1 - p)^gamma is infinite where p rounds to 1 and gamma is below 1.
        losses = losses * (gamma * logsigmoid((1 - 2 * label) * logits)).exp()
    # Multiplied, not indexed: a head without one known label still takes part, as DDP demands.
    return known * losses


def effective_weights(positives: float, negatives: float, beta: float) -> tuple[float, float]:
    """Weights of positives and negatives by effective number, in sum 2 (Cui et al., CVPR 2019).

    The effective number of n samples is (1 - beta^n) / (1 - beta): n for beta towards 1, 1 for 0. Both
    weights are 1 where a class is absent.
    """
    if not positives or not negatives:
        return 1.0, 1.0
    weights = [(1 - beta) / (1 - beta**count) for count in (positives, negatives)]
    return 2 * weights[0] / sum(weights), 2 * weights[1] / sum(weights)


class TargetLoss(nn.Module):
    """Loss of each target, and of all.

    Args:
        targets: columns of logits and labels.
        loss: which loss and how targets are weighed.
        fitted: `pos_weight`, `positives` and `negatives` of each of its `targets`, counted in training
            patients.
    """

    pos_weight: Tensor
    class_weight: Tensor
    target_weight: Tensor

    def __init__(self, targets: Sequence[str], loss: Loss, fitted: Mapping[str, Any]) -> None:
        super().__init__()
        places = [list(fitted["targets"]).index(target) for target in targets]
        positive, class_weight = [float(fitted["pos_weight"][place]) for place in places], [1.0] * len(places)
        if loss.kind == "class_balanced":
            counts = [(fitted["positives"][place], fitted["negatives"][place]) for place in places]
            weights = [effective_weights(*count, loss.balanced_beta) for count in counts]
            positive = [positives / negatives for positives, negatives in weights]
            class_weight = [negatives for _, negatives in weights]
        fixed = [float(loss.target_weights.get(target, 1.0)) for target in targets]
        for name, values in (
            ("pos_weight", positive),
            ("class_weight", class_weight),
            ("target_weight", fixed),
        ):
            self.register_buffer(name, torch.tensor(values), persistent=False)
        self.gamma = loss.focal_gamma if loss.kind == "focal" else 0.0
        self.log_variance = nn.Parameter(torch.zeros(len(targets))) if loss.uncertainty else None

    def elementwise(self, logits: Tensor, label: Tensor, known: Tensor) -> Tensor:
        """Loss of each lesion and target (B, R), 0 where not known."""
        return self.class_weight * cross_entropy(logits, label, known, self.pos_weight, self.gamma)

    def forward(self, logits: Tensor, label: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of all targets () and of each (R,), from (B, R) logits, labels and 0 / 1 masks.

        Divided by the batch, not by the known labels: the mean over devices is then the loss of the whole
        batch. The whole is the mean over targets by their fixed weights; with `uncertainty` each target
        is also divided by a learnt variance, whose logarithm / 2 is added (Kendall, Gal and Cipolla, CVPR
        2018), as often as it has known labels.
        """
        losses = self.target_weight * self.elementwise(logits, label, known).sum(dim=0) / len(logits)
        weighed = losses
        if self.log_variance is not None:
            price = self.target_weight * known.sum(dim=0) / len(known) * self.log_variance / 2
            weighed = losses * (-self.log_variance).exp() + price
        return weighed.sum() / self.target_weight.sum(), losses
