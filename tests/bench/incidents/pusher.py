"""A server that pushes audio to many listeners, after an incident of that kind.

    pusher.py               listeners that are slow have their frames queued; in the end all has been sent
    pusher.py fingerprints  as that, and of each frame a fingerprint is kept, by which an echo is found later: once
                            the frames are gone, what is free lies in holes between them, smaller than a page

One asyncio loop, a real socket for each listener. Frames have the sizes of 20 to 100 ms of sound in various
codecs. For a while nobody reads, as in a network outage, and the queues grow; listeners leave and others come.
The record of each call is kept, a small object among the large ones: what pins the heap.
"""
import asyncio
import collections
import itertools
import random
import resource
import socket
import struct
import sys

import phases

LISTENERS = 300
TICKS = 320
OUTAGE = range(50, 300)  # ticks
LEAVES = 0.002  # of the listeners, each tick
QUEUED_MAX = 300  # frames; beyond, the oldest is dropped
RECORDS_MAX = 4000
SEND_BUFFER = 16 << 10
HEADER = struct.Struct("!BBH4xQ")
COMPRESSED = None  # a codec whose frames differ in size
COMPRESSED_SIZES = (560, 1500)
# Bytes of a frame: 8 to 48 kHz, mono and stereo, 20 to 100 ms.
CODECS = (640, 960, 1920, 3840, 9600, 19200, COMPRESSED)
TELEPHONY = (640, 960, 1280, COMPRESSED)
FINGERPRINT = 540  # bytes

inbox = bytearray(1 << 20)


class Listener:
    """One connection: its queue, the task that sends from it, and the far end, which reads as fast as it may."""

    def __init__(self, number, chance, codecs):
        self.number = number
        self.chance = chance
        self.codec = chance.choice(codecs)
        self.slow = chance.random() < 0.3
        self.frames = collections.deque()
        self.waiting = asyncio.Event()
        self.sent = 0
        self.near, self.far = socket.socketpair()
        self.near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self.near.setblocking(False)
        self.far.setblocking(False)
        self.task = asyncio.create_task(self.push())

    def put(self, audio, tick):
        """One frame of what is said now, as this listener's codec has it."""
        size = self.codec or self.chance.randrange(*COMPRESSED_SIZES)
        start = self.chance.randrange(len(audio) - size)
        frame = HEADER.pack(0x82, 126, size, tick) + audio[start:start + size]
        if len(self.frames) >= QUEUED_MAX:
            self.frames.popleft()
        self.frames.append(frame)
        self.waiting.set()
        return frame

    async def push(self):
        """Send what is queued, as fast as the listener takes it."""
        loop = asyncio.get_running_loop()
        while True:
            while self.frames:
                frame = self.frames.popleft()
                await loop.sock_sendall(self.near, frame)
                self.sent += len(frame)
            self.waiting.clear()
            await self.waiting.wait()

    def read(self):
        """The far end takes what has arrived; returns whether there was something."""
        try:
            return self.far.recv_into(inbox) > 0
        except BlockingIOError:
            return False

    def leave(self):
        """Hang up. Returns the record of the call."""
        self.task.cancel()
        self.task = None
        self.frames.clear()
        self.near.close()
        self.far.close()
        return struct.pack("!QQ", self.number, self.sent) + self.chance.randbytes(600)


class Pusher:
    """All listeners, and what outlives them."""

    def __init__(self, fingerprints):
        self.chance = random.Random(phases.SEED)
        self.audio = self.chance.randbytes(1 << 18)
        self.numbers = itertools.count()
        self.listeners = []
        self.records = collections.deque(maxlen=RECORDS_MAX)
        self.codecs = TELEPHONY if fingerprints else CODECS
        self.fingerprints = [] if fingerprints else None

    def come(self, count):
        for _ in range(count):
            self.listeners.append(Listener(next(self.numbers), self.chance, self.codecs))

    def go(self, listener):
        self.listeners.remove(listener)
        self.records.append(listener.leave())

    def tick(self, tick):
        """20 ms."""
        for listener in self.listeners:
            frame = listener.put(self.audio, tick)
            if self.fingerprints is not None:
                self.fingerprints.append(frame[-FINGERPRINT:])
            if tick not in OUTAGE and not (listener.slow and tick % 4):
                listener.read()
        for listener in [one for one in self.listeners if self.chance.random() < LEAVES]:
            self.go(listener)
            self.come(1)

    async def drain(self):
        """The listeners catch up, and hang up."""
        while any(listener.frames for listener in self.listeners):
            for listener in self.listeners:
                while listener.read():
                    pass
            await asyncio.sleep(0)
        for listener in list(self.listeners):
            self.go(listener)
        await asyncio.sleep(0)

    async def load(self):
        """One phase; returns the bytes that are kept."""
        self.come(LISTENERS)
        for tick in range(TICKS):
            self.tick(tick)
            await asyncio.sleep(0)
        await self.drain()
        return sum(map(sys.getsizeof, itertools.chain(self.records, self.fingerprints or (), [self.audio, inbox])))


async def main():
    pusher = Pusher("fingerprints" in sys.argv[1:])
    loop = asyncio.get_running_loop()
    words = asyncio.Queue()
    loop.add_reader(sys.stdin, lambda: words.put_nowait(sys.stdin.readline()))
    while True:
        phases.say_idle(await pusher.load())
        if not await words.get():
            return


_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
asyncio.run(main())
