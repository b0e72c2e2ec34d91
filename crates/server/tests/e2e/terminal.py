"""Runs a program on a terminal of its own, and keeps a file of what stands on its screen.

terminal.py FILE PROGRAM ARGUMENT...   Each signal SIGTERM presses q, each SIGINT Ctrl-C. When the program has ended it prints how, and
whether the terminal is as it was, and exits.
"""

import codecs
import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios

WIDTH, HEIGHT = 160, 40
# What ratatui's backend writes: a final letter, and maybe parameters.
SEQUENCE = re.compile(r"\x1b\[(\??)([\d;]*)([A-Za-z])")


class Screen:
    def __init__(self, file):
        self.file, self.rest, self.alternate = file, "", False
        self.clear()

    def clear(self):
        self.cells = [[" "] * WIDTH for _ in range(HEIGHT)]
        self.x = self.y = 0

    def write(self, text):
        text, self.rest = self.rest + text, ""
        at = 0
        while at < len(text):
            if text[at] == "\x1b":
                found = SEQUENCE.match(text, at)
                if not found:
                    # It is not all there yet.
                    self.rest = text[at:]
                    break
                self.obey(*found.groups())
                at = found.end()
                continue
            if text[at] == "\r":
                self.x = 0
            elif text[at] == "\n":
                self.y = min(self.y + 1, HEIGHT - 1)
            elif self.x < WIDTH:
                self.cells[self.y][self.x] = text[at]
                self.x += 1
            at += 1
        with open(self.file + ".new", "w") as out:
            out.write("\n".join("".join(line).rstrip() for line in self.cells))
        os.rename(self.file + ".new", self.file)

    def obey(self, private, parameters, letter):
        numbers = [int(number or 1) for number in parameters.split(";")]
        if private and parameters == "1049":
            self.alternate = letter == "h"
            self.clear()
        elif letter == "H":
            self.y, self.x = numbers[0] - 1, (numbers[1] if len(numbers) > 1 else 1) - 1
        elif letter == "J":
            self.clear()


def main():
    screen = Screen(sys.argv[1])
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    before = termios.tcgetattr(slave)
    text = codecs.getincrementaldecoder("utf-8")("replace").decode
    environment = {**os.environ, "TERM": "xterm-256color"}
    program = subprocess.Popen(
        sys.argv[2:],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment,
        start_new_session=True,
        # Its controlling terminal: otherwise Ctrl-C is a letter and no signal.
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    signal.signal(signal.SIGTERM, lambda *_: os.write(master, b"q"))
    signal.signal(signal.SIGINT, lambda *_: os.write(master, b"\x03"))
    while program.poll() is None:
        if select.select([master], [], [], 0.1)[0]:
            screen.write(text(os.read(master, 65536)))
    while select.select([master], [], [], 0)[0]:
        screen.write(text(os.read(master, 65536)))
    same = termios.tcgetattr(slave) == before
    print(f"ended with {program.returncode}, settings restored: {same}, screen left: {not screen.alternate}")


main()
