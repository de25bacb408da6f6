"""What the heads of a model attend to: attention maps, and a classifier of their patterns."""
