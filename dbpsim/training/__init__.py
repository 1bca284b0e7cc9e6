"""Training on real images: datasets, augmentation, optimisers, the loop and its checkpoints."""
