"""The benchmark suite: ratios measured within one run."""
