"""The blind test: the state of a real stack, read from its replies by somebody who was told nothing else."""
