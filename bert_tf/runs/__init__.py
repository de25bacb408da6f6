"""What a training run is: options, data, devices, folder, checkpoints and scores."""
