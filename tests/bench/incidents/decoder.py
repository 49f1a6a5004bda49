"""A decoder with 32 threads, after an incident of that kind.

Each of many compressed images is decompressed, taken apart into rows and tiles, and dropped; what is kept of it is
a preview, of some ten kilobytes. zlib lets the other threads run, so that they allocate at the same time and glibc
gives them arenas of their own. Then all threads wait for more.
"""
import array
import concurrent.futures
import random
import sys
import zlib

import phases

THREADS = 32
IMAGES = 400
SOURCES = 24  # different images
SIDES = (256, 512, 768, 1024, 1536)  # pixels of two bytes
TILE = 64  # rows
PREVIEW = 4  # each so many rows and columns are kept
KEPT_MAX = 600  # previews


def make_source(chance):
    """A compressed image: rows that are like the one before, as in a photograph."""
    side = chance.choice(SIDES)
    noise = chance.randbytes(2 * side)
    rows = [noise[shift:] + noise[:shift] for shift in (chance.randrange(0, 16, 2) for _ in range(side))]
    return side, zlib.compress(b"".join(rows), 1)


def decode(source):
    """The preview of one image."""
    side, compressed = source
    pixels = zlib.decompress(compressed)
    stride = 2 * side
    rows = [pixels[start:start + stride] for start in range(0, len(pixels), stride)]
    tiles = [b"".join(rows[start:start + TILE]) for start in range(0, side, TILE)]
    swapped = array.array("H")
    for tile in tiles:
        swapped.frombytes(tile)
    swapped.byteswap()
    preview = b"".join(row[::2 * PREVIEW] for row in rows[::PREVIEW])
    return zlib.compress(preview, 1) + preview


def main():
    chance = random.Random(phases.SEED)
    sources = [make_source(chance) for _ in range(SOURCES)]
    previews = {}
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        def load():
            work = [chance.choice(sources) for _ in range(IMAGES)]
            for number, preview in enumerate(pool.map(decode, work)):
                previews[number % KEPT_MAX] = preview
            return sum(map(sys.getsizeof, previews.values())) + sum(len(source[1]) for source in sources)

        phases.run(load)


main()
