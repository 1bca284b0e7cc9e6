"""Puts this folder on the import path, so that every room's tests may draw networks from `drawn_networks`."""
