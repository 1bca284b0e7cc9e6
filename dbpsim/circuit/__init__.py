"""Circuits: the two-compartment neuron as RC nodes, and decks of it for SPICE."""
