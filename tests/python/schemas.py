"""Checks JSON against docs/json: schemas.py FOLDER; each line of stdin is a schema's name, a tab, and JSON.

Prints one JSON object a line: the schema, and what is wrong with the value, or nothing.
"""

import json
import sys
from pathlib import Path

from jsonschema import Draft202012Validator

folder = Path(sys.argv[1])
validators = {}
for path in folder.glob("*.json"):
    schema = json.loads(path.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    validators[path.stem] = Draft202012Validator(schema)
used = set()
for line in sys.stdin:
    name, text = line.split("\t", 1)
    errors = [it.message for it in validators[name].iter_errors(json.loads(text))]
    used.add(name)
    print(json.dumps({"schema": name, "error": "; ".join(errors)[:500] or None}))
print(json.dumps({"unused": sorted(set(validators) - used)}))
