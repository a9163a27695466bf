"""``python -m barograph``."""

from barograph.cli import main

main(prog_name="barograph")
