"""How people and agents get in. Every surface calls actions.py and nothing below it."""
