"""What is wrong with the input: one line each, collected, shown together before work starts."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One defect: where it was found, what was found, what to do about it, and its kind in a few words."""

    where: str
    found: str
    remedy: str
    kind: str = "unusable input"

    def __str__(self) -> str:
        return f"{self.where}: {self.found}; {self.remedy}"


class InputError(ValueError):
    """Input that cannot be worked with; carries every problem found, one a line."""

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))
