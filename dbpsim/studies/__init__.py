"""Declarative sweeps: a file names a task, its settings and a design; every point leaves a file of its own."""
