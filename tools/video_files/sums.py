"""Prints a line for each frame of a stream of PPM pictures: what make.sh says of sums.txt."""

import os
import sys

stream, name, times = sys.stdin.buffer, os.environ["FILE"], os.environ["TIMES"].split()
number = 0
while head := stream.readline():
    assert head == b"P6\n"
    width, height = map(int, stream.readline().split())
    stream.readline()
    rgb = stream.read(width * height * 3)
    sums = []
    for rows in (range(height // 2), range(height // 2, height)):
        for columns in (range(width // 2), range(width // 2, width)):
            for channel in range(3):
                values = [rgb[(y * width + x) * 3 + channel] for y in rows for x in columns]
                sums.append(f"{sum(values) / len(values):.2f}")
    print(name, number, times[number], width, height, *sums)
    number += 1
assert number == len(times)
