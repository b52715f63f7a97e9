"""`python -m ipmodel`, for torchrun."""

from ipmodel.cli import main

main()
