"""The families of encoders, one file each: names of weights and keys of configs."""
