"""``python -m fstore``: the same as the program ``fstore``."""

from fstore.cli import main

if __name__ == "__main__":
    main()
