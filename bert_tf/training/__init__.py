"""Fine-tuning: runs with checkpoints, scores and devices."""
