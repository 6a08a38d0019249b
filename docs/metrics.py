"""Writes the table in metrics.md anew: python docs/metrics.py, in the project's folder."""

import re
from pathlib import Path

from tav.metrics.table import as_markdown

PAGE = Path(__file__).with_name("metrics.md")
TABLE = re.compile(r"(^\|.*\n)+", re.MULTILINE)


def main() -> None:
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(TABLE.sub(lambda _: as_markdown(), page, count=1), encoding="utf-8")


if __name__ == "__main__":
    main()
