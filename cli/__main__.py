"""``python -m fstore.cli``: the program ``fstore``; what ``torchrun -m fstore.cli`` starts."""

from fstore.cli import main

if __name__ == "__main__":
    main()
