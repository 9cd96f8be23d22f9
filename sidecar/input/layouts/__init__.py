"""Keyboard layouts as data: which key and which modifiers make a character."""
