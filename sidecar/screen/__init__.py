"""Pixels as data: surface, damage, cursor. No input or output happens here."""
