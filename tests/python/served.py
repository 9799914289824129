"""Runs the Python code of pages beside models: served.py PHOTO FOLDER...; a page is FOLDER/out.md.

Prints one JSON object a page: the scores by label.
"""

import json
import os
import re
import sys

photo, *folders = sys.argv[1:]
photo = os.path.abspath(photo)
folders = [os.path.abspath(it) for it in folders]
for folder in folders:
    os.chdir(folder)
    with open("out.md", encoding="utf-8") as page:
        (code,) = re.findall(r"```python\n(.*?)```", page.read(), re.DOTALL)
    assert len(code.splitlines()) <= 20, len(code.splitlines())
    names = {}
    exec(code, names)
    print(json.dumps(names["predict"](photo)))
