"""From lesions to a patient, learnt: gated attention over the lesions of a bag."""

import torch
from torch import Tensor, nn


class GatedAttention(nn.Module):
    """How much a lesion counts for its patient, a score a target, before the softmax over the lesions.

    Gated attention pooling (Ilse, Tomczak and Welling, ICML 2018), equation 9: w (tanh(V h) * sigmoid(U h)).

    Args:
        features: of a lesion; also the hidden units.
        targets: scores that come out.
    """

    def __init__(self, features: int, targets: int) -> None:
        super().__init__()
        self.content = nn.Linear(features, features)
        self.gate = nn.Linear(features, features)
        self.score = nn.Linear(features, targets, bias=False)

    def forward(self, lesions: Tensor) -> Tensor:
        """Scores (B, R) of lesions (B, F)."""
        scores: Tensor = self.score(self.content(lesions).tanh() * self.gate(lesions).sigmoid())
        return scores


def pool(logits: Tensor, scores: Tensor, bag: Tensor) -> Tensor:
    """Logits of the bags (P, R): those of their lesions, weighed by a softmax of the scores inside the bag.

    Pooling logits is pooling features: the heads are linear.

    Args:
        logits: of each lesion, (B, R).
        scores: of each lesion, (B, R).
        bag: a number a bag, (B,); the bags come out in the order of these numbers.
    """
    outside = bag[None, :] != bag.unique()[:, None]
    weights = scores.float()[None].masked_fill(outside[:, :, None], -torch.inf).softmax(dim=1)
    return (weights * logits.float()[None]).sum(dim=1)


def any_of_bag(values: Tensor, bag: Tensor) -> Tensor:
    """1 where any lesion (B, R) of a bag (P, R) is 1, else 0, as of the labels of a patient."""
    outside = bag[None, :] != bag.unique()[:, None]
    return values[None].masked_fill(outside[:, :, None], 0.0).amax(dim=1)
