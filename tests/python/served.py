"""Runs the Python code of pages beside models: served.py PHOTO FOLDER..., a page is FOLDER/out.md; or
served.py --text TEXT PAGE...; or served.py --sound FILE PAGE...

Prints one JSON object a page: the scores by label.
"""

import json
import os
import re
import sys

most = 20
if sys.argv[1] == "--text":
    asked, pages = sys.argv[2], sys.argv[3:]
elif sys.argv[1] == "--sound":
    # The resampling is a dozen lines.
    asked, pages, most = os.path.abspath(sys.argv[2]), sys.argv[3:], 28
else:
    asked, pages = os.path.abspath(sys.argv[1]), [os.path.join(it, "out.md") for it in sys.argv[2:]]
for path in [os.path.abspath(it) for it in pages]:
    os.chdir(os.path.dirname(path))
    with open(path, encoding="utf-8") as page:
        (code,) = re.findall(r"```python\n(.*?)```", page.read(), re.DOTALL)
    assert len(code.splitlines()) <= most, len(code.splitlines())
    names = {}
    exec(code, names)
    print(json.dumps(names["predict"](asked)))
