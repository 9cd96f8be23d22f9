"""Pixels to bytes, shared by every frontend. No input or output and no protocol state lives here."""
