"""Networks as graphs of stages, digital unless a chip takes them over."""
