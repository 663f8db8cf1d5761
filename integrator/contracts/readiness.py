"""What a partner still lacks before the next rung, in numbers a person can act on."""

from typing import Literal

import msgspec

RungReached = Literal["none", "rule", "pooled", "partner"]
PooledState = Literal[
    "serving", "not_needed", "consent_missing", "too_few_partners", "no_model", "not_judged_yet", "not_better",
    "failed", "not_pooled",
]  # fmt: skip


class Requirement(msgspec.Struct, frozen=True):
    """One count a rung needs; ``days_left`` is an estimate at the present pace, None when none is known."""

    name: str
    unit: str
    have: int
    need: int
    days_left: int | None = None

    @property
    def met(self) -> bool:
        """Whether there is enough."""
        return self.have >= self.need

    def __str__(self) -> str:
        left = f", about {self.days_left} days" if self.days_left and not self.met else ""
        return f"{self.have} of {self.need} {self.unit}{left}"


class PooledReadiness(msgspec.Struct, frozen=True):
    """Where a partner stands with the pooled rung: `state` for programs, `reason` for people.

    Neither names another partner nor tells how many there are beyond what is needed at least.
    """

    state: PooledState
    reason: str


class Readiness(msgspec.Struct, frozen=True):
    """Per use case: the rung reached, each requirement of a model of one's own, and the pooled rung between."""

    use_case: str
    rung: RungReached
    requirements: list[Requirement]
    pooled: PooledReadiness | None = None

    @property
    def ready(self) -> bool:
        """Whether a model of the partner's own may be trained."""
        return all(requirement.met for requirement in self.requirements)

    def __str__(self) -> str:
        return "; ".join(str(requirement) for requirement in self.requirements)
