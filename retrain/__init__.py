"""Retraining: feature vectors, augmentation, feature cache, heads."""
