"""The graphics pipeline: surfaces, and frames of encoded segments for them (MS-RDPEGFX)."""
