"""What a task is: its data, head, loss and metrics."""
