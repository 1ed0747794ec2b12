"""What a terminal would show of the bytes that were written to it: as much of xterm as readline and the client use.

Kept here instead of a library, so that the tests need nothing that distributions do not all have: anything that is not known
fails the test.
"""

import re
import unicodedata

SEQUENCE = re.compile(r"\x1b\[([0-?]*)([ -/]*)([@-~])|\x1b\]([^\x07\x1b]*)(?:\x07|\x1b\\)|\x1b([=>78MDE])")


def width(character):
    if unicodedata.combining(character) or character in "\u200b\u200d\ufe0f":
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


class Screen:
    def __init__(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.cells = [[]]  # lines of characters, all that ever scrolled by included
        self.top = self.row = self.column = 0
        self.pending = False  # the last column was written: the next character wraps

    def _line(self):
        while len(self.cells) <= self.top + self.row:
            self.cells.append([])
        return self.cells[self.top + self.row]

    def _down(self):
        if self.row + 1 < self.rows:
            self.row += 1
        else:
            self.top += 1
        self._line()

    def _put(self, character):
        wide = width(character)
        if wide == 0:
            line, at = self._line(), max(0, self.column - 1)
            if at < len(line):
                line[at] += character
            return
        if self.pending or self.column + wide > self.columns:
            self.column, self.pending = 0, False
            self._down()
        line = self._line()
        line.extend(" " * (self.column + wide - len(line)))
        line[self.column] = character
        if wide == 2:
            line[self.column + 1] = ""
        self.column += wide
        if self.column == self.columns:
            self.column, self.pending = self.columns - 1, True

    def _control(self, character):
        self.pending = False
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self._down()
        elif character == "\b":
            self.column = max(0, self.column - 1)
        elif character == "\t":
            self.column = min(self.columns - 1, (self.column // 8 + 1) * 8)
        elif character != "\a":
            raise AssertionError(f"the control character {character!r}")

    def _sequence(self, arguments, final):
        if final in "mhlt" or arguments.startswith(("?", ">")):
            return
        numbers = [int(n) if n else 0 for n in arguments.split(";")] if arguments else [0]
        n = max(1, numbers[0])
        line = self._line()
        self.pending = False
        if final == "A":
            self.row = max(0, self.row - n)
        elif final == "B":
            self.row = min(self.rows - 1, self.row + n)
        elif final == "C":
            self.column = min(self.columns - 1, self.column + n)
        elif final == "D":
            self.column = max(0, self.column - n)
        elif final == "G":
            self.column = n - 1
        elif final == "H":
            self.row, self.column = n - 1, max(1, numbers[1] if len(numbers) > 1 else 1) - 1
        elif final == "K":
            if numbers[0] == 0:
                del line[self.column:]
            elif numbers[0] == 2:
                del line[:]
            else:
                line[:self.column + 1] = " " * (self.column + 1)
        elif final == "J":
            if numbers[0] == 0:
                del line[self.column:]
                del self.cells[self.top + self.row + 1:]
            else:
                self.top, self.cells = len(self.cells), self.cells + [[]]
        elif final == "P":
            del line[self.column:self.column + n]
        elif final == "@":
            line[self.column:self.column] = " " * n
        else:
            raise AssertionError(f"the sequence ESC [ {arguments} {final}")

    def feed(self, text):
        at = 0
        while at < len(text):
            if text[at] == "\x1b":
                found = SEQUENCE.match(text, at)
                if found is None:
                    return self  # the rest has not come yet
                if found[3]:
                    self._sequence(found[1], found[3])
                elif found[5] == "M":
                    self.row = max(0, self.row - 1)
                at = found.end()
                continue
            (self._control if text[at] < " " else self._put)(text[at])
            at += 1
        return self

    def text(self):
        """Everything, scrolled off or not, line by line."""
        return "\n".join("".join(line).rstrip() for line in self.cells)
