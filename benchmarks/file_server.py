"""An HTTP server with ranges for measurements: `python -m benchmarks.file_server DIR LATENCY_S BYTES_PER_S`.

Every answer begins LATENCY_S after its request. All answers together have BYTES_PER_S; 0 sets no limit. It prints its
port. One process, asyncio: it costs less than a client, so it is not what is measured.
"""

import asyncio
import re
import sys
import time
from pathlib import Path

PIECE_BYTES = 256 << 10


class Limit:
    """Lets bytes pass at a rate, over all connections together."""

    def __init__(self, bytes_per_s: float) -> None:
        self.bytes_per_s, self.free_at_s = bytes_per_s, time.monotonic()

    async def passed(self, count_bytes: int) -> None:
        if self.bytes_per_s:
            self.free_at_s = max(self.free_at_s, time.monotonic() - 0.05) + count_bytes / self.bytes_per_s
            await asyncio.sleep(max(self.free_at_s - time.monotonic(), 0))


async def serve(root: Path, latency_s: float, bytes_per_s: float) -> None:
    limit = Limit(bytes_per_s)

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                await asyncio.sleep(latency_s)
                await answer(request.decode("latin-1"), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def answer(request: str, writer: asyncio.StreamWriter) -> None:
        path = root / request.split(" ")[1].lstrip("/")
        if not path.is_file():
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        size = path.stat().st_size
        found = re.search(r"(?i)\r\nrange: bytes=(\d+)-(\d*)", request)
        start, stop = (int(found[1]), min(int(found[2] or size) + 1, size)) if found else (0, size)
        head = f'Content-Length: {stop - start}\r\nETag: "{path.stat().st_mtime_ns}"\r\n\r\n'
        part = f"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{stop - 1}/{size}\r\n"
        writer.write(((part if found else "HTTP/1.1 200 OK\r\n") + head).encode())
        with path.open("rb") as file:
            file.seek(start)
            while start < stop:
                piece = file.read(min(PIECE_BYTES, stop - start))
                start += len(piece)
                await limit.passed(len(piece))
                writer.write(piece)
                await writer.drain()

    server = await asyncio.start_server(connection, "127.0.0.1", 0, backlog=128)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))
