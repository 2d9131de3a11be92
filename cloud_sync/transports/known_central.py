"""Which answers are a central's: what is asked of one depends on what this central has shown before.

Constraints
- A central that has proven an answer here has to prove every one: what does not is somebody else's.
- One that never did is an older one, or stands behind something that keeps the header from us: a settlement of this
  very batch counts, and so does an error in the form that every central of this project has given errors.
- A proof that does not fit is nobody's, whatever else is known.

Why: docs/decisions/0016-who-counts-as-a-central.md.
"""

from __future__ import annotations

from typing import Final, Literal

from cloud_sync.answer_proof import Identity
from cloud_sync.transports.answers import said_in
from cloud_sync.transports.http_exchange import Answer

Demand = Literal["auto", "always", "never"]

_JSON: Final = "application/json"


class KnownCentral:
    """The central behind one address, for all that ask it. `demand` "auto" wants proofs once there was one."""

    def __init__(self, demand: Demand = "auto") -> None:
        self._demand = demand
        self._has_proven = False

    @property
    def must_prove(self) -> bool:
        """Whether an answer without a proof is somebody else's."""
        return self._demand == "always" or (self._demand == "auto" and self._has_proven)

    def is_its_answer(self, answer: Answer) -> bool:
        """Return whether the central gave this answer, and remember when it proves it."""
        if answer.identity is Identity.PROVEN:
            self._has_proven = True
            return True
        if answer.identity is Identity.WRONG or self.must_prove:
            return False
        return answer.status == 200 or answer.identity is Identity.CLAIMED or is_in_our_form(answer)


def is_in_our_form(answer: Answer) -> bool:
    """Return whether an error is JSON with a `detail`, as FastAPI and so every central of this project gives it."""
    media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return media_type == _JSON and "detail" in said_in(answer.body)
