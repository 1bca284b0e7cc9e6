"""Exponential collocation: many times of an acyclic network in one sweep forward and one back.

Stage after stage, activation and stress obey dv/dt = -v + g(t), time in units of tau: g is the forward drive f(m_parents(t)) or
the feedback b(t) = J(m(t))^T s_children(t).  Because the graph has no cycle, the drive of a stage depends on stages that are
known by then.  So over a step of length h, with g interpolated at Lobatto's nodes 0 = c_0 < ... < c_p = 1,

    v(c_k h) = e^(-c_k h) v(0) + sum_j Q_kj g(c_j h),   Q_kj = int_0^(c_k h) e^(t - c_k h) l_j(t / h) dt

(l_j Lagrange's polynomials) holds for all p new nodes without iteration: what would be an implicit Runge-Kutta method
(collocation; Hairer and Wanner, Solving Ordinary Differential Equations II, section IV.5) is explicit here, exact for the leak
(Hochbruck and Ostermann, Acta Numerica 19, 209, 2010) and for drives that are polynomials of degree p.  A step costs p
evaluations of every stage in each direction, in one batch.  Its error is estimated by leaving out one node.

*Activity window*: stages whose inputs stand still are not evaluated again, nor is stress that stands still pulled back again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.polynomial import legendre

from dbpsim.credit.backprop import Arrays
from dbpsim.credit.field import loss_feedback
from dbpsim.kernels.quadrature import advance
from dbpsim.network.graph import INPUT, Network, Stage

NODES = 6
LONGEST = 8.0  # tau; up to there the weights are exact to rounding


@lru_cache(maxsize=8)
def lobatto(count: int) -> np.ndarray:
    """Return `count` + 1 Lobatto nodes on [0, 1], ends included.

    Examples
    --------
    >>> lobatto(2)
    array([0. , 0.5, 1. ])
    """
    inner = legendre.legroots(legendre.legder([0.0] * count + [1.0]))
    return np.concatenate([[0.0], (1 + np.sort(inner)) / 2, [1.0]])


def _lagrange(nodes: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return l_j(at), shape (*at.shape, len(nodes))."""
    gaps, between = at[..., None] - nodes, nodes[:, None] - nodes
    others = [np.arange(len(nodes)) != j for j in range(len(nodes))]
    return np.stack([gaps[..., o].prod(-1) / between[j, o].prod() for j, o in enumerate(others)], axis=-1)


@lru_cache(maxsize=8)
def _tables(count: int) -> tuple[np.ndarray, ...]:
    """Return what does not depend on the step: nodes, Gauss points and weights, l_j at those points of every [0, c_k]."""
    nodes = lobatto(count)
    points, shares = legendre.leggauss(16)
    points, shares = (1 + points) / 2, shares / 2
    at = nodes[1:, None] * points
    left_out = count // 2
    fewer = np.insert(_lagrange(np.delete(nodes, left_out), points), left_out, 0.0, axis=-1)
    return nodes, points, shares, _lagrange(nodes, at), fewer


def rule(count: int, h: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (Q, the leak's factors at the new nodes, what estimates the error) of a step `h` (in tau) with `count` new nodes.

    Examples
    --------
    >>> q, decay, estimate = rule(4, 0.7)
    >>> bool(np.allclose(q.sum(axis=1) + decay, 1)), bool(abs(estimate.sum()) < 1e-15)  # exact for constant drives
    (True, True)
    """
    nodes, points, shares, full, fewer = _tables(count)
    ends = h * nodes[1:, None]
    kernel = shares * ends * np.exp(-ends * (1 - points))
    q = np.einsum("kq,kqj->kj", kernel, full)
    return q, np.exp(-ends[:, 0]), q[-1] - kernel[-1] @ fewer


def rule_at(count: int, h: float, share: float) -> tuple[np.ndarray, float]:
    """Return (weights of the drives at the nodes, the leak's factor) of the state at a `share` of a step `h`.

    Examples
    --------
    >>> row, decay = rule_at(4, 0.7, 1.0)
    >>> bool(np.allclose(row, rule(4, 0.7)[0][-1]))
    True
    """
    nodes, points, shares, _, _ = _tables(count)
    end = share * h
    return (shares * end * np.exp(-end * (1 - points))) @ _lagrange(nodes, share * points), float(np.exp(-end))


@dataclass(frozen=True)
class Step:
    """A step that may be taken: `time` (in tau) of the new nodes and by stage, node by node, what holds there.

    Attributes
    ----------
    activations, stress, drives, feedback : dict of str to array, shape (nodes, N, ...)
    errors : dict of str to list of two arrays, shape (N, ...)
        Estimated errors of activation and stress at the end.
    """

    time: np.ndarray
    activations: Arrays = field(repr=False)
    stress: Arrays = field(repr=False)
    drives: Arrays = field(repr=False)
    feedback: Arrays = field(repr=False)
    errors: dict[str, list[np.ndarray]] = field(repr=False)

    def until(self, last: int) -> Step:
        """Return the nodes up to the one numbered `last`."""
        def cut(states: Arrays) -> Arrays:
            return {name: nodes[: last + 1] for name, nodes in states.items()}

        return Step(
            self.time[: last + 1], cut(self.activations), cut(self.stress), cut(self.drives), cut(self.feedback), self.errors
        )


class Cascade:
    """A network on its way to rest, step by step.

    Parameters
    ----------
    network : Network
        Without noise in its reads.
    x : array, shape (N, ...)
    y : array
    m, s : mapping of stage name to array, shape (N, ...)
        Where it starts.
    still : float
        Distance from its target, relative to that, within which a state counts as standing still.

    Attributes
    ----------
    now : Step
        The last step taken; at first the start as its only node.
    asked, made : int
        Evaluations of one stage in one direction at one time: all there would be, and those that were made.
    """

    def __init__(
        self,
        network: Network,
        x: np.ndarray,
        y: np.ndarray,
        m: Mapping[str, np.ndarray],
        s: Mapping[str, np.ndarray],
        still: float,
    ) -> None:
        self.network, self.x, self.y, self.still = network, x, y, still
        # the statistics of a normalising layer are of one time, not of many
        self.together = not network.buffers
        self.asked = self.made = 0
        self.children = {stage.name: [c.name for c in network.stages if stage.name in c.parents] for stage in network.stages}
        self._memory: dict[str, list[Any]] = {}  # of every stage, one entry for all nodes or one a node
        first = [stage for stage in network.stages if set(stage.parents) == {INPUT}]
        self._first = {stage.name: stage.forward([x] * len(stage.parents), True)[0] for stage in first}
        self._rest: tuple[set[str], set[str]] = (set(), set())  # activations, stress that stand still
        self._kept: tuple[Arrays, dict[str, list[np.ndarray]]] = ({}, {})  # what stages send forward, and back, for good
        at_m, at_s = ({k: v[None].astype(network.dtype) for k, v in states.items()} for states in (m, s))
        f = {stage.name: self._drive(stage, at_m, 1) for stage in network.stages}
        b = {network.output: self._cost(at_m, 1)}
        for stage in reversed(network.stages):
            self._send_back(stage, at_s, b, 1)
        self.now = Step(np.zeros(1), at_m, at_s, f, b, {})

    def step(self, h: float) -> Step:
        """Return the step of length `h` (in tau) from here, not taken yet."""
        q, decay, estimate = (a.astype(self.network.dtype) for a in rule(NODES, h))
        m: Arrays = {}
        s: Arrays = {}
        f: Arrays = {}
        b: Arrays = {}
        errors: dict[str, list[np.ndarray]] = {}
        for stage in self.network.stages:
            name = stage.name
            f[name] = self._drive(stage, m, NODES)
            m[name], wrong = advance(q, decay, estimate, self.now.activations[name][-1], self.now.drives[name][-1], f[name])
            errors[name] = [wrong]
        b[self.network.output] = self._cost(m, NODES)
        for stage in reversed(self.network.stages):
            name = stage.name
            s[name], wrong = advance(q, decay, estimate, self.now.stress[name][-1], self.now.feedback[name][-1], b[name])
            errors[name].append(wrong)
            self._send_back(stage, s, b, NODES)
        return Step(self.now.time[-1] + h * lobatto(NODES)[1:], m, s, f, b, errors)

    def between(self, step: Step, share: float) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return (activation, stress) of every stage at a `share` of `step`, which has not been taken yet."""
        row, decay = rule_at(NODES, step.time[-1] - self.now.time[-1], share)
        found = {}
        for name in step.drives:
            pairs = (
                (self.now.activations, self.now.drives, step.drives), (self.now.stress, self.now.feedback, step.feedback)
            )  # fmt: skip
            m, s = (
                decay * start[name][-1] + np.tensordot(row, np.concatenate([drive[name][-1:], drives[name]]), 1)
                for start, drive, drives in pairs
            )
            found[name] = m, s
        return found

    def take(self, step: Step, residuals: Mapping[str, tuple[float, float]]) -> None:
        """Take `step`, at whose end activation and stress of every stage are `residuals` from their targets."""
        self.now = step
        activations, stress = self._rest
        for stage in self.network.stages:
            if residuals[stage.name][0] <= self.still and all(p == INPUT or p in activations for p in stage.parents):
                activations.add(stage.name)
        for stage in reversed(self.network.stages):
            quiet = stage.name in activations and all(child in stress for child in self.children[stage.name])
            if quiet and residuals[stage.name][1] <= self.still:
                stress.add(stage.name)

    def _drive(self, stage: Stage, m: Arrays, count: int) -> np.ndarray:
        """Return f of `stage` at `count` nodes."""
        name, size = stage.name, (count, len(self.x), *stage.shape)
        self.asked += count
        if name in self._first:
            return np.broadcast_to(self._first[name], size)
        if name in self._kept[0]:
            return np.broadcast_to(self._kept[0][name], size)
        self.made += count
        inputs = [np.broadcast_to(self.x, (count, *self.x.shape)) if p == INPUT else m[p] for p in stage.parents]
        if self.together:
            f, memory = stage.forward([a.reshape(-1, *a.shape[2:]) for a in inputs], True)
            self._memory[name] = [memory]
        else:
            found = [stage.forward([a[k] for a in inputs], True) for k in range(count)]
            f, self._memory[name] = np.stack([a for a, _ in found]), [memory for _, memory in found]
        f = f.reshape(size)
        if all(p == INPUT or p in self._rest[0] for p in stage.parents):
            self._kept[0][name] = f[-1]
        return f

    def _cost(self, m: Arrays, count: int) -> np.ndarray:
        output = m[self.network.output]
        return np.stack([loss_feedback(self.network, self.y, output[k], 1.0) for k in range(count)])

    def _send_back(self, stage: Stage, s: Arrays, b: Arrays, count: int) -> None:
        """Add what `stage` pulls back to the feedback of its parents."""
        self.asked += count
        if stage.name in self._first:
            return
        name, kept = stage.name, self._kept[1]
        if name in kept:
            parts = [np.broadcast_to(part, (count, *part.shape)) for part in kept[name]]
        else:
            self.made += count
            parts = self._pull(stage, s[name], count)
            if name in self._kept[0] and name in self._rest[1]:
                kept[name] = [part[-1] for part in parts]
        for parent, part in zip(stage.parents, parts, strict=True):
            if parent != INPUT:
                b[parent] = b[parent] + part if parent in b else part

    def _pull(self, stage: Stage, s: np.ndarray, count: int) -> list[np.ndarray]:
        memory = self._memory[stage.name]
        if self.together:
            pulled = stage.pullback(memory[0], s.reshape(-1, *s.shape[2:]))[0]
            return [part.reshape(count, -1, *part.shape[1:]) for part in pulled]
        each = [stage.pullback(memory[k], s[k])[0] for k in range(count)]
        return [np.stack(parts) for parts in zip(*each, strict=True)]
