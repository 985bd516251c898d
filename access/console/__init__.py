"""The web console: what people see. `pages.py` lists every page; `serving.py` answers requests by that list."""
