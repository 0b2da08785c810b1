"""`python -m train` is the `train` command."""

from train.cli import main

main()
