"""Turns to memories: what was decided, asked, wished for and is to be done, in the speaker's own words."""

from processors.extracting.hearing import extract

__all__ = ["extract"]
