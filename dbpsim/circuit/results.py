"""What settling in continuous time leaves: `Settling`, its trajectory, or an `IntegrationError` with what there was."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dbpsim.credit.backprop import Arrays


class IntegrationError(RuntimeError):
    """Settling failed; `time` (s), `stage` and `neuron` are where, `partial` what there was (a `Settling`)."""

    def __init__(self, message: str, time: float, stage: str, neuron: int, partial: Settling) -> None:
        super().__init__(message)
        self.time = time
        self.stage = stage
        self.neuron = neuron
        self.partial = partial


@dataclass(frozen=True)
class Trajectory:
    """What was recorded: `time` (s), shape (T,), and by stage `activations` and `stress`, each of shape (T, N, ...)."""

    time: np.ndarray
    activations: Arrays = field(repr=False)
    stress: Arrays = field(repr=False)


@dataclass(frozen=True)
class Settling:
    """What `settle` returns.

    Attributes
    ----------
    time : float
        Reached, in seconds.
    loss : float
    gradients : dict of str to array
        dC/dtheta as read at that time, named as in ``network.parameters``.
    settling_time : dict of str to float
        By stage, seconds after which activation and stress stay within the tolerance (1e-4 if none was given) of their
        targets, interpolated between steps; nan if they are not within it at the end.
    residual : dict of str to float
        By stage, the larger relative distance of activation and stress from their targets at the end.
    steps, rejected, evaluations : int
        Accepted steps, refused ones, and evaluations of the whole network in both directions.
    spared : float
        Share of the stages' evaluations that a clamped input or standing still made unnecessary ("collocation").
    method, coupling, states : str
    activations, stress : dict of str to array
        m and s at the end.
    trajectory : Trajectory or None
    """

    time: float
    loss: float
    gradients: Arrays = field(repr=False)
    settling_time: dict[str, float]
    residual: dict[str, float]
    steps: int
    rejected: int
    evaluations: int
    method: str
    coupling: str
    states: str
    activations: Arrays = field(repr=False)
    stress: Arrays = field(repr=False)
    trajectory: Trajectory | None = field(default=None, repr=False)
    spared: float = 0.0
