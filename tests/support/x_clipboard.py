"""The clipboard of an X display, as programs copy and paste it (xclip)."""

import subprocess

from support.viewers import XServer


class XClipboard:
    """Its methods run programs and wait for them; `close` ends the one that holds what was copied."""

    def __init__(self, x_server: XServer) -> None:
        self._environment = {"DISPLAY": x_server.display, "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
        self._holder: subprocess.Popen[bytes] | None = None

    def copy(self, text: str) -> None:
        """Copies `text`, as a program does that stays until another one copies something."""
        self.close()
        command = ["xclip", "-quiet", "-selection", "clipboard", "-in"]
        self._holder = subprocess.Popen(
            command,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert self._holder.stdin
        with self._holder.stdin as given:
            given.write(text.encode())

    def paste(self) -> str:
        """What is on the clipboard as text; empty where there is none, or its owner does not answer."""
        command = ["xclip", "-selection", "clipboard", "-out", "-target", "UTF8_STRING"]
        try:
            done = subprocess.run(command, env=self._environment, capture_output=True, timeout=10)
        except subprocess.TimeoutExpired:
            return ""
        return done.stdout.decode() if done.returncode == 0 else ""

    def close(self) -> None:
        holder, self._holder = self._holder, None
        if holder is not None:
            holder.kill()
            holder.wait()
