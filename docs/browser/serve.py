"""Serves the page beside this file, with the model and the headers that threads need.

    python docs/browser/serve.py [--port 8000] [--model FILE]

Only this computer can reach it. Standard library alone.
"""

import argparse
import http.server
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODEL = HERE.parents[1] / "checkpoints" / "photos-v2" / "colorizer_dynamic_int8.tflite"
RUNTIME = HERE / "node_modules" / "@litertjs" / "core" / "dist" / "index.js"

# Together they isolate the page from other origins, without which browsers give no shared memory
# and so no threads.
ISOLATION = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
# The page has a policy of its own, which does not extend to its workers. This one does.
POLICY = {
    "Content-Security-Policy": "connect-src 'self'; worker-src 'self'; img-src 'self' blob:; "
    "form-action 'none'; frame-ancestors 'none'"
}
TYPES = {
    **http.server.SimpleHTTPRequestHandler.extensions_map,
    ".js": "text/javascript",
    ".wasm": "application/wasm",
    ".tflite": "application/octet-stream",
}


class Handler(http.server.SimpleHTTPRequestHandler):
    """The files of docs/browser, and `model` as /model.tflite."""

    model = MODEL
    isolated = True
    protocol_version = "HTTP/1.1"
    extensions_map = TYPES

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, directory=str(HERE), **options)

    def translate_path(self, path):
        if path.split("?")[0] == "/model.tflite":
            return str(self.model)
        return super().translate_path(path)

    def end_headers(self):
        headers = {**POLICY, **ISOLATION} if self.isolated else POLICY
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, *arguments):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--model", type=Path, default=MODEL, help="a .tflite file with predict_ab")
    arguments = parser.parse_args()
    if not arguments.model.is_file():
        sys.exit(f"no model at {arguments.model}; write one with pix2pix-tf export --format tflite")
    if not RUNTIME.is_file():
        sys.exit("the runtime is missing; fetch it with: npm install --prefix docs/browser")
    Handler.model = arguments.model
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", arguments.port), Handler)
    except OSError as error:
        sys.exit(f"cannot listen on port {arguments.port}: {error.strerror}; give another --port")
    print(f"http://localhost:{server.server_port}/ (Ctrl-C ends it)", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
