"""A plain HTTP load, in a process of its own: `load.py URL CONNECTIONS SECONDS KEYS < ASKED.json`; prints JSON.

Each connection asks in turn and waits for each answer, with a key of its own where there are several, separated by commas.
What begins with a slash is asked by GET, anything else is a body to POST to the URL; `{n}` in it becomes a number that never
repeats, `{word}` the same in letters.
"""

import asyncio
import json
import sys
import time
from urllib.parse import urlsplit

LETTERS = str.maketrans("0123456789", "abcdefghij")


async def main(url: str, connections: int, seconds: float, keys: list[str], asked: list[str]) -> None:
    parts = urlsplit(url)
    path = parts.path.encode()
    times: list[float] = []
    wrong = 0
    counter = iter(range(time.time_ns(), 2**62))
    until = time.perf_counter() + seconds

    async def one(offset: int) -> None:
        nonlocal wrong
        key = keys[offset % len(keys)]
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        number = offset
        while time.perf_counter() < until:
            new = str(next(counter))
            text = asked[number % len(asked)].replace("{n}", new).replace("{word}", new.translate(LETTERS))
            number += 1
            get = text.startswith("/")
            content = b"" if get else text.encode()
            start = time.perf_counter()
            writer.write(
                b"%s %s HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"
                b"Accept: application/json\r\nContent-Length: %d\r\n\r\n%s"
                % (b"GET" if get else b"POST", text.encode() if get else path, key.encode(), len(content), content)
            )
            head = await reader.readuntil(b"\r\n\r\n")
            lowered = head.lower()
            length = int(lowered.split(b"content-length:")[1].split(b"\r\n")[0])
            answer = await reader.readexactly(length)
            times.append(time.perf_counter() - start)
            wrong += b" 200 " not in head[:16] or answer.startswith(b'{"errors"')
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(connections)))
    elapsed = time.perf_counter() - started
    times.sort()
    print(json.dumps({
        "rate": len(times) / elapsed, "wrong": wrong,
        "p50_ms": times[len(times) // 2] * 1e3, "p99_ms": times[int(len(times) * 0.99)] * 1e3,
    }))  # fmt: skip


if __name__ == "__main__":
    _, url, connections, seconds, keys = sys.argv
    asyncio.run(main(url, int(connections), float(seconds), keys.split(","), json.load(sys.stdin)))
