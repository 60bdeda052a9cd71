"""Stands in for a language model's server: every question is answered with the output of one flow, productivity_advisor, so
that there are calls that succeed, calls that do not, tokens and costs. Started by scripts/check-observability.sh."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PLAN = {"observations": [], "recommendations": ["Rest."], "next_week_plan": [{"day": "Monday", "task": "Rest"}]}
ANSWER = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": json.dumps(PLAN)}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 200, "completion_tokens": 50, "total_tokens": 250},
}


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = json.dumps(ANSWER).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
