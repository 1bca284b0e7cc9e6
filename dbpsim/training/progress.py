"""What a person sees while a network trains: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

_LINE_EVERY_S = 30.0


class Progress(Protocol):
    """Told about every step and every epoch."""

    def step(self, done: int, loss: float, images_per_s: float) -> None:
        """Say that `done` steps are done."""

    def line(self, text: str) -> None:
        """Say `text` on a line of its own."""


class _Plain:
    """Lines on stderr, at most one every half minute between epochs."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._said = self._start = time.monotonic()
        self._first: int | None = None

    def step(self, done: int, loss: float, images_per_s: float) -> None:
        now = time.monotonic()
        self._first = done if self._first is None else self._first
        if now - self._said >= _LINE_EVERY_S:
            self._said = now
            left = (now - self._start) / max(done - self._first, 1) * (self._steps - done)
            self.line(f"step {done} of {self._steps}, loss {loss:.4f}, {images_per_s:.0f} images/s, {left / 60:.1f} min left")

    def line(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class _Bar:
    """A rich progress bar on stderr."""

    def __init__(self, bar: object, task: object) -> None:
        self._bar, self._task = bar, task

    def step(self, done: int, loss: float, images_per_s: float) -> None:
        text = f"loss {loss:.4f}, {images_per_s:.0f} images/s"
        self._bar.update(self._task, completed=done, description=text)  # type: ignore[attr-defined]

    def line(self, text: str) -> None:
        self._bar.console.print(text, highlight=False, markup=False)  # type: ignore[attr-defined]


@contextmanager
def progress(steps: int) -> Iterator[Progress]:
    """Show the progress of `steps` steps on stderr, in the form that suits it."""
    if not sys.stderr.isatty():
        yield _Plain(steps)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Rich

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Rich(*columns, console=Console(stderr=True)) as bar:
        yield _Bar(bar, bar.add_task("starting", total=steps))
