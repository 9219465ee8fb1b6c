//! Data set, split, batching, augmentation, trainer.
