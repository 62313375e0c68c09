"""How the features of the modalities become one vector, whichever of them are there."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from bcbm.config.schema.training import Model


def drop_modalities(present: Tensor, chance: float) -> Tensor:
    """`present` (B, M) with each modality of a lesion dropped by `chance`; one that was there always stays.

    After ModDrop (Neverova et al., IEEE TPAMI 38:1692, 2016).
    """
    draw = torch.rand_like(present).masked_fill(present == 0, -1.0)
    stays = (draw >= chance) | (draw == draw.amax(dim=1, keepdim=True))
    return present * stays


class Fusion(nn.Module):
    """Features of M modalities [(B, F1), (B, F2), ...] and who is there (B, M) -> (B, F).

    Each modality is layer-normalised first, so that none counts more for the scale of its numbers. A
    missing one (0 in `present`) counts nothing, whatever its numbers, NaN included: it becomes zeros
    before and behind its norm. Zeros, not a shorter list: its parameters still take part in the backward
    pass, as DDP demands. With nothing there at all, what comes out is the same for every lesion.

    Attributes:
        features: F, what comes out.
        joint: a shared trunk may follow; False where the heads must read the vector itself.
    """

    features: int
    joint = True

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in widths)

    def normalised(self, features: Sequence[Tensor], present: Tensor) -> list[Tensor]:
        """Normalised features, zeros where a modality is missing."""
        return [
            norm(part.where(mask > 0, 0.0)) * mask
            for norm, part, mask in zip(self.norms, features, present.split(1, dim=1), strict=True)
        ]


class Concat(Fusion):
    """One behind the other, F = F1 + F2 + ...; what is there is stretched to the length of the whole.

    Args:
        widths: features of each modality.
        model: not read; here for the sake of the others.
    """

    widths: Tensor

    def __init__(self, widths: Sequence[int], model: Model) -> None:
        super().__init__(widths)
        self.features = sum(widths)
        self.register_buffer("widths", torch.tensor(widths, dtype=torch.float32), persistent=False)

    def forward(self, features: Sequence[Tensor], present: Tensor) -> Tensor:
        """Join (B, F1), (B, F2), ... of one batch."""
        width = (present * self.widths).sum(dim=1, keepdim=True).clamp(min=1.0)
        return torch.cat(self.normalised(features, present), dim=1) * (self.features / width).sqrt()


class Gated(Fusion):
    """A weighted mean of projections to a common width; the weights are a softmax over who is there.

    Gated multimodal units (Arevalo et al., ICLR workshop 2017), with one gate a modality instead of one a
    feature. The gates see all modalities.

    Args:
        widths: features of each modality.
        model: `fusion_features` is the common width.
    """

    def __init__(self, widths: Sequence[int], model: Model) -> None:
        super().__init__(widths)
        self.features = model.fusion_features
        self.projections = nn.ModuleList(
            nn.Sequential(nn.Linear(width, self.features), nn.Tanh()) for width in widths
        )
        self.gates = nn.Linear(sum(widths), len(widths))

    def weights(self, normalised: Sequence[Tensor], present: Tensor) -> Tensor:
        """Weight of each modality (B, M), in sum 1, or 0 with nothing there."""
        gates = self.gates(torch.cat(list(normalised), dim=1)).float()
        # The least number, not minus infinity: a row without anybody would be NaN.
        return gates.masked_fill(present == 0, torch.finfo(gates.dtype).min).softmax(dim=1) * present

    def forward(self, features: Sequence[Tensor], present: Tensor) -> Tensor:
        """Fuse (B, F1), (B, F2), ... of one batch."""
        normalised = self.normalised(features, present)
        parts = torch.stack(
            [project(part) for project, part in zip(self.projections, normalised, strict=True)], 1
        )
        return (self.weights(normalised, present)[:, :, None] * parts).sum(dim=1)


class Attention(Fusion):
    """A learnt query reads the modalities, each a token, through one transformer layer.

    Tokens with learnt modality embeddings, as in multimodal transformers (Tsai et al., ACL 2019), and a
    summary token, as in BERT (Devlin et al., NAACL 2019), which also stands where nothing is there.

    Args:
        widths: features of each modality.
        model: `fusion_features` is the width of a token; `dropout` is dropped inside the layer.
    """

    def __init__(self, widths: Sequence[int], model: Model) -> None:
        super().__init__(widths)
        self.features = model.fusion_features
        self.projections = nn.ModuleList(nn.Linear(width, self.features) for width in widths)
        self.query = nn.Parameter(torch.randn(1, 1, self.features) * 0.02)
        self.embedding = nn.Parameter(torch.randn(1, len(widths), self.features) * 0.02)
        self.layer = nn.TransformerEncoderLayer(
            self.features,
            nhead=math.gcd(4, self.features),
            dim_feedforward=2 * self.features,
            dropout=model.dropout,
            batch_first=True,
            norm_first=True,
        )

    def forward(self, features: Sequence[Tensor], present: Tensor) -> Tensor:
        """Fuse (B, F1), (B, F2), ... of one batch."""
        normalised = self.normalised(features, present)
        parts = torch.stack(
            [project(part) for project, part in zip(self.projections, normalised, strict=True)], 1
        )
        tokens = torch.cat([self.query.expand(len(parts), -1, -1), parts + self.embedding], dim=1)
        missing = nn.functional.pad(present == 0, (1, 0), value=False)
        fused: Tensor = self.layer(tokens, src_key_padding_mask=missing)[:, 0]
        return fused


class Bilinear(Fusion):
    """The products of the modalities' features, of low rank: h = norm(sum_r w_r prod_m W_rm [x_m; 1]).

    Low-rank multimodal fusion (Liu et al., ACL 2018). The constant keeps the terms of one and of two
    modalities; of a missing modality nothing but the constant is left.

    Args:
        widths: features of each modality.
        model: `fusion_features` comes out; `fusion_rank` products are summed.
    """

    def __init__(self, widths: Sequence[int], model: Model) -> None:
        super().__init__(widths)
        self.features, self.rank = model.fusion_features, model.fusion_rank
        self.factors = nn.ModuleList(nn.Linear(width, self.rank * self.features) for width in widths)
        for factor in self.factors:
            nn.init.ones_(factor.bias)  # type: ignore[arg-type]  # starts near the sum of all modalities
        self.weight = nn.Parameter(torch.full((self.rank, 1), 1 / self.rank))
        self.norm = nn.LayerNorm(self.features)

    def forward(self, features: Sequence[Tensor], present: Tensor) -> Tensor:
        """Fuse (B, F1), (B, F2), ... of one batch."""
        normalised = self.normalised(features, present)
        factors = [factor(part) for factor, part in zip(self.factors, normalised, strict=True)]
        product = torch.stack(factors).prod(dim=0).view(-1, self.rank, self.features)
        fused: Tensor = self.norm((self.weight * product).sum(dim=1))
        return fused


def trunk(width: int, model: Model) -> nn.Module:
    """The hidden layer between features (B, width) and heads (B, model.trunk)."""
    return nn.Sequential(
        nn.Dropout(model.dropout), nn.Linear(width, model.trunk), nn.ReLU(), nn.Dropout(model.dropout)
    )


class Late(Fusion):
    """A trunk a modality; a head's logit is the mean of its logits from each modality that is there.

    Fusion of decisions (Snoek, Worring and Smeulders, ACM Multimedia 2005). The heads are linear: one head
    on the trunks, side by side and divided by how many are there, is the mean of unimodal heads that share
    a bias. A shared trunk in between would mix the modalities.

    Args:
        widths: features of each modality.
        model: `trunk` and `dropout` of each trunk.
    """

    joint = False

    def __init__(self, widths: Sequence[int], model: Model) -> None:
        super().__init__(widths)
        self.features = model.trunk * len(widths)
        self.trunks = nn.ModuleList(trunk(width, model) for width in widths)

    def forward(self, features: Sequence[Tensor], present: Tensor) -> Tensor:
        """Fuse (B, F1), (B, F2), ... of one batch."""
        share = present / present.sum(dim=1, keepdim=True).clamp(min=1.0)
        normalised = self.normalised(features, present)
        branches = zip(self.trunks, normalised, share.split(1, dim=1), strict=True)
        return torch.cat([branch(part) * weight for branch, part, weight in branches], dim=1)


FUSIONS: dict[str, Callable[[Sequence[int], Model], Fusion]] = {
    "concat": Concat,
    "gated": Gated,
    "attention": Attention,
    "bilinear": Bilinear,
    "late": Late,
}
