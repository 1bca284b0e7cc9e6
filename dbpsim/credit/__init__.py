"""Where gradients come from: exact backpropagation and dyadic relaxation."""
