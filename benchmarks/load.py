"""A plain HTTP load, in a process of its own: `load.py URL CONNECTIONS SECONDS KEY < BODIES.json`; prints JSON.

Each connection sends the bodies in turn and waits for each answer; `{n}` in a body becomes a number that never repeats.
"""

import asyncio
import json
import sys
import time
from urllib.parse import urlsplit


async def main(url: str, connections: int, seconds: float, key: str, bodies: list[str]) -> None:
    parts = urlsplit(url)
    times: list[float] = []
    wrong = 0
    counter = iter(range(time.time_ns(), 2**62))
    until = time.perf_counter() + seconds

    async def one(offset: int) -> None:
        nonlocal wrong
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        number = offset
        while time.perf_counter() < until:
            body = bodies[number % len(bodies)].replace("{n}", str(next(counter))).encode()
            number += 1
            start = time.perf_counter()
            writer.write(
                b"POST %s HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"
                b"Accept: application/json\r\nContent-Length: %d\r\n\r\n%s"
                % (parts.path.encode(), key.encode(), len(body), body)
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
    _, url, connections, seconds, key = sys.argv
    asyncio.run(main(url, int(connections), float(seconds), key, json.load(sys.stdin)))
