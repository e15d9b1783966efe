"""Run the command line as `python -m kdutils`."""

from kdutils.cli import main

main()
