"""Training whole networks, not heads alone: batches, the loop, fine-tuning, small networks from scratch."""
