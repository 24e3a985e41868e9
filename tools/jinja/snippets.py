"""Writes what Python's Jinja2 makes of the snippets in table.py, for the test of the Rust renderer.

    snippets.py           writes the table
    snippets.py --check   fails if the table is not what Jinja2 makes of the snippets
"""

import json
import pathlib
import sys

import differences
import table
import transformers_jinja

TABLE = pathlib.Path(__file__).parents[2] / "tests/jinja/snippets.json"


def rendered_table():
    """The table as text. `expected` is null where Jinja2 raises an error."""
    known = dict(differences.DIFFERENCES)
    rows = []
    for kind, snippets in table.SNIPPETS.items():
        for snippet in snippets:
            row = {
                "kind": kind,
                "template": snippet,
                "expected": transformers_jinja.render(snippet, table.VALUES),
            }
            if snippet in known:
                row["differs"] = known.pop(snippet)
            rows.append(row)
    if known:
        sys.exit(f"differences.py names snippets that table.py lacks: {list(known)}")
    return json.dumps({"values": table.VALUES, "snippets": rows}, indent=1, ensure_ascii=True) + "\n"


def main():
    text = rendered_table()
    if "--check" not in sys.argv[1:]:
        TABLE.parent.mkdir(exist_ok=True)
        TABLE.write_text(text, encoding="utf-8")
    elif not TABLE.exists() or TABLE.read_text(encoding="utf-8") != text:
        sys.exit(f"{TABLE} differs from what Jinja2 renders: run tools/jinja/snippets.py")


if __name__ == "__main__":
    main()
