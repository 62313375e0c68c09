"""Which lesions a rank reads: one global draw an epoch, cut into disjoint slices."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Literal

import numpy as np
from torch.utils.data import Sampler


class LesionSampler(Sampler[tuple[int, int]]):
    """Draw training lesions; yields `(row, augmentation seed)`.

    The draw depends on the seed and the epoch alone. Rank r of W reads items r, r + W, ... of it, so that
    step k of W devices with B / W lesions each sees the same lesions as step k of one device with B.

    Args:
        patients: patient of every lesion that can be drawn.
        sampling: `patient` draws with replacement and weight 1 / lesions of the patient; `even` permutes.
        seed: seed of the run.
        rank: this process.
        world: number of processes.
        length: lesions drawn an epoch over all ranks, as many as there are by default. Rounded up to a
            multiple of `world * bag` by drawing on, so that every rank takes the same number of steps.
        bag: lesions of one patient that follow each other, on the same rank. Above 1, `sampling` is not read:
            each patient is drawn once before one comes again, and so is each lesion of a bag.

    Raises:
        ValueError: there is no lesion to draw.

    Example:
        >>> sampler = LesionSampler(["a", "a", "b"], "even", seed=0)
        >>> sampler.set_epoch(3)
        >>> sorted(row for row, _ in sampler)
        [0, 1, 2]
    """

    def __init__(
        self,
        patients: Sequence[str],
        sampling: Literal["patient", "even"],
        seed: int,
        rank: int = 0,
        world: int = 1,
        length: int | None = None,
        bag: int = 1,
    ) -> None:
        if len(patients) == 0:
            raise ValueError("no training lesion to draw from; look at the split and at the excluded lesions")
        lesions = Counter(patients)
        weight = np.array([1 / lesions[patient] for patient in patients])
        self.cumulative = np.cumsum(weight) / weight.sum()
        self.sampling, self.seed, self.rank, self.world = sampling, seed, rank, world
        self.total = -(-(length or len(patients)) // (world * bag)) * world * bag
        self.bag, self.epoch = bag, 0
        codes = np.unique(np.asarray(patients, dtype=object), return_inverse=True)[1]
        self.lesions = [np.flatnonzero(codes == code) for code in range(len(lesions))]

    def set_epoch(self, epoch: int) -> None:
        """Choose the draw; Lightning calls this before every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.total // self.world

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self.drawn(self.epoch))

    def drawn(self, epoch: int) -> list[tuple[int, int]]:
        """Rows and seeds of an epoch."""
        # Two streams: a draw that goes on longer must not change the seeds of its beginning.
        rows = self._draw(np.random.default_rng((self.seed, epoch, 0)))
        seeds = np.random.default_rng((self.seed, epoch, 1)).integers(2**31, size=self.total)
        mine = (np.arange(self.total) // self.bag) % self.world == self.rank
        return list(zip(rows[mine].tolist(), seeds[mine].tolist(), strict=True))

    def _draw(self, generator: np.random.Generator) -> np.ndarray:
        lesions = len(self.cumulative)
        if self.bag > 1:
            inside = generator.spawn(1)[0]
            patients = _rounds(generator, len(self.lesions), self.total // self.bag)
            chosen = [_rounds(inside, len(self.lesions[patient]), self.bag) for patient in patients]
            return np.concatenate(
                [self.lesions[patient][places] for patient, places in zip(patients, chosen, strict=True)]
            )
        if self.sampling == "patient":
            drawn = np.searchsorted(self.cumulative, generator.random(self.total), side="right")
            return np.minimum(drawn, lesions - 1)
        return _rounds(generator, lesions, self.total)


def _rounds(generator: np.random.Generator, most: int, length: int) -> np.ndarray:
    """`length` numbers below `most`, each once before one comes again."""
    rounds = [generator.permutation(most) for _ in range(-(-length // most))]
    return np.concatenate(rounds)[:length]


class EpochBatches(Sampler[list[tuple[int, int]]]):
    """The batches of the sampler's epoch and then, without an end, those of the epochs behind it.

    What reads ahead so has the first batches of an epoch before it begins. The length is that of one epoch.

    Args:
        sampler: which lesions, and from which epoch on.
        size: lesions of a batch; the last of an epoch may be smaller.
    """

    def __init__(self, sampler: LesionSampler, size: int) -> None:
        self.sampler, self.size = sampler, size

    def __len__(self) -> int:
        return -(-len(self.sampler) // self.size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for epoch in count(self.sampler.epoch):
            items = self.sampler.drawn(epoch)
            yield from (items[start : start + self.size] for start in range(0, len(items), self.size))


class ShardSampler(Sampler[int]):
    """Rows `rank, rank + world, ...` of `n`, in order and none twice: for predictions, merged later."""

    def __init__(self, n: int, rank: int = 0, world: int = 1) -> None:
        self.rows = range(rank, n, world)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[int]:
        return iter(self.rows)
