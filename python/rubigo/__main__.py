"""`python -m rubigo` is the command `rubigo`."""

from .cli import main

raise SystemExit(main())
