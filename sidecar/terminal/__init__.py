"""Serial ports drawn as screens: a terminal emulator whose picture every frontend can show."""
